"""The solvers of torchdeq on given cells, with every call of f counted: run by `benchmarks.solvers`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch.nn.functional import conv2d
from torchdeq.solver import get_solver

from benchmarks.peers.exchange import Arrays, hand_back, receive

Map = Callable[[torch.Tensor], torch.Tensor]


def main() -> None:
    """Solve every row by every solver; return the results and the calls."""
    folder, arrays, settings = receive()
    torch.set_num_threads(settings["threads"])
    found: Arrays = {}
    calls: dict[str, int] = {}
    with torch.no_grad():
        for row in settings["rows"]:
            f, zero = _cell(arrays, row)
            for title, (solver, options) in settings["solvers"].items():
                name = f"{row['name']}/{title}"
                z, calls[name] = _solve(solver, f, zero, row, {**options, "max_iter": settings["max_iter"]})
                found[name] = _channels_last(z).numpy()
    hand_back(folder, found, {"calls": calls, "versions": {name: version(name) for name in ("torch", "torchdeq")}})


def _solve(
    solver: str, f: Map, zero: torch.Tensor, row: dict[str, Any], options: dict[str, Any]
) -> tuple[torch.Tensor, int]:
    """Return the result and the calls of f.

    After 30 steps `broyden` gives up within three times the tolerance where the residuals of the samples are alike (it
    means those of the last steps): asked for a third of the tolerance, it then ends at the tolerance.
    """
    calls = 0

    def counted(z: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return f(z)

    def run(tolerance: float) -> tuple[torch.Tensor, bool]:
        z, _, info = get_solver(solver)(counted, zero, tol=tolerance, stop_mode=row["mode"], **options)
        return z, bool(info[f"{row['mode']}_lowest"].max() < row["tolerance"])

    z, reached = run(row["tolerance"])
    if solver == "broyden" and not reached and calls < options["max_iter"]:
        calls = 0
        z, _ = run(row["tolerance"] / 3)
    return z, calls


def _cell(arrays: Arrays, row: dict[str, Any]) -> tuple[Map, torch.Tensor]:
    """Return f and the initial guess; images have channels first here."""
    dtype = getattr(torch, row["dtype"])
    u, *weights = (torch.from_numpy(arrays[f"{row['cell']}/{name}"]).to(dtype) for name in row["arrays"])
    if row["kind"] == "dense":
        return lambda z: torch.tanh(z @ weights[0] + u), torch.zeros_like(u)
    u = u.permute(0, 3, 1, 2).contiguous()
    first, second = (weight.permute(3, 2, 0, 1).contiguous() for weight in weights)
    return lambda z: torch.tanh(conv2d(torch.tanh(conv2d(z, first, padding=1)) + u, second, padding=1)), (
        torch.zeros_like(u)
    )


def _channels_last(z: torch.Tensor) -> Any:
    return z.permute(0, 2, 3, 1).contiguous() if z.ndim == 4 else z


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
