"""Our contestant and torchdeq in `benchmarks.embed`: one process, in turn."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.peers.exchange import Arrays, hand_back, receive
from benchmarks.peers.stopwatch import microseconds

Run = Callable[[], Any]


def main() -> None:
    """Time both parts, and return the times, residuals and gradients."""
    folder, arrays, settings = receive()
    sys.path.append(settings["packages"])  # torch and torchdeq, where our environment has none
    import torch

    torch.set_num_threads(settings["threads"])
    report: dict[str, Any] = {"small": _small(settings)} if settings["small"] else {"cell": _cell(arrays, settings)}
    report["versions"] = {name: version(name) for name in ("equilib", "torch", "torchdeq")}
    hand_back(folder, {}, report)


def _small(settings: dict[str, Any]) -> dict[str, Any]:
    """Return microseconds beyond f of an evaluation, ours and theirs, alternation by alternation."""
    import torch

    torch.manual_seed(0)
    found: dict[str, Any] = {}
    for batch in settings["batches"]:
        weight, _ = torch.linalg.qr(torch.randn(settings["units"], settings["units"]))
        u, z0 = 0.1 * torch.randn(batch, settings["units"]), torch.zeros(batch, settings["units"])
        f = partial(_step, weight, u)
        with torch.no_grad():
            alone = microseconds(lambda f=f, z0=z0: f(z0), settings["blocks"])
            for name, peer in settings["solvers"].items():
                sides = _ours(name, f, z0, settings), _theirs(peer, f, z0, settings)
                times = [[_beyond(*side, alone, settings) for side in sides] for _ in range(settings["alternations"])]
                found[f"{name}, batch {batch}"] = {"peer": peer, "us": times, "f_us": alone}
    return found


def _step(weight: Any, u: Any, z: Any) -> Any:
    return (z @ weight + u).tanh()


def _beyond(short: Run, long: Run, count: int, alone: float, settings: dict[str, Any]) -> float:
    """Return microseconds beyond f of each of the `count` evaluations that a long solve has and a short one has not."""
    between = microseconds(long, settings["blocks"]) - microseconds(short, settings["blocks"])
    return between / count - alone


def _ours(name: str, f: Any, z0: Any, settings: dict[str, Any]) -> tuple[Run, Run, int]:
    from equilib.torch import equilibrium, solver

    method, runs, counts = solver(name), [], []
    for wanted in (settings["few"], settings["many"]):
        for steps in range(wanted + 1):
            how = {"rtol": 0.0, "atol": 0.0, "max_steps": steps, "on_failure": "record"}
            run = partial(equilibrium, f, z0, solver=method, **how)
            if run().nfe >= wanted:
                break
        runs.append(run)
        counts.append(run().nfe)
    return runs[0], runs[1], counts[1] - counts[0]


def _theirs(name: str, f: Any, z0: Any, settings: dict[str, Any]) -> tuple[Run, Run, int]:
    from torchdeq.solver import get_solver

    first = int(name == "broyden")  # it does not count its first evaluation
    few, many = settings["few"], settings["many"]
    short, long = (
        partial(get_solver(name), f, z0, max_iter=count - first, tol=0.0, stop_mode="rel") for count in (few, many)
    )
    return short, long, many - few


def _cell(arrays: Arrays, settings: dict[str, Any]) -> dict[str, Any]:
    """Return milliseconds of a forward and a backward pass, with the largest residual of a sample and the gradient."""
    import torch
    from torchdeq import get_deq

    from equilib.torch import equilibrium

    place = torch.channels_last if settings["channels_last"] else torch.contiguous_format
    named = {name: torch.from_numpy(array).to(memory_format=place) for name, array in arrays.items()}
    recur, mix = (named[name].requires_grad_() for name in ("recur", "mix"))
    conv, tolerance = torch.nn.functional.conv2d, settings["tolerance"]

    def problem() -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
        recur.grad = mix.grad = None
        u = torch.tanh(named["injection"])
        return u, lambda z: torch.tanh(conv(torch.tanh(conv(z, recur, padding=1)) + u, mix, padding=1))

    def ours(solver: str, adjoint: str | None) -> Run:
        def run() -> tuple[torch.Tensor, Any]:
            u, f = problem()
            how: dict[str, Any] = {"rtol": tolerance, "atol": 0.0, "criterion": "residual", "on_failure": "record"}
            z = equilibrium(f, torch.zeros_like(u), solver=solver, adjoint=adjoint, **how).z
            z.square().mean().backward()
            return z.detach(), f

        return run

    def theirs(solver: str, backward: str) -> Run:
        limits = {f"{way}_{name}": value for way in "fb" for name, value in settings["limits"].items()}
        deq = get_deq(ift=True, f_solver=solver, b_solver=backward, **limits)

        def run() -> tuple[torch.Tensor, Any]:
            u, f = problem()
            z = deq(f, torch.zeros_like(u))[0][-1]
            z.square().mean().backward()
            return z.detach(), f

        return run

    runs = {f"equilib {solver} + {adjoint or 'gmres'}": ours(solver, adjoint) for solver, adjoint in settings["ours"]}
    runs |= {f"torchdeq {solver} + {backward}": theirs(solver, backward) for solver, backward in settings["theirs"]}
    found: dict[str, Any] = {}
    for name, run in runs.items():
        z, f = run()
        with torch.no_grad():
            residual = (f(z) - z).flatten(1).norm(dim=1) / z.flatten(1).norm(dim=1)
        found[name] = {"residual": float(residual.max()), "gradient": float(recur.grad.norm()), "ms": []}
    for _ in range(settings["alternations"]):
        for name, run in runs.items():
            start = perf_counter()
            run()
            found[name]["ms"].append(1e3 * (perf_counter() - start))
    return {name: {**each, "median_ms": median(each["ms"])} for name, each in found.items()}


if __name__ == "__main__":
    main()
