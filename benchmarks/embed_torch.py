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

BY_HAND = "begun by hand"
"""What the name of a contestant has that is not torchdeq's alone."""

ENOUGH = 60
"""Iterations after which nothing changes but rounding."""


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
    """Return milliseconds of a forward and a backward pass at the loosest tolerances, and how exact they are there."""
    import torch

    place = torch.channels_last if settings["channels_last"] else torch.contiguous_format
    named = {name: torch.from_numpy(array).to(memory_format=place) for name, array in arrays.items()}
    cell = Cell(*(named[name].requires_grad_() for name in ("recur", "mix")), torch.tanh(named["injection"]))
    makers: dict[str, Callable[[float, float], Run]] = {}
    for solver, adjoint, coarse in settings["ours"]:
        name = f"equilib {solver} + {adjoint}{f', coarse {coarse}' if coarse else ''}"
        makers[name] = partial(_ours_of_cell, cell, solver, adjoint, coarse)
    for solver, adjoint, hook in settings["theirs"]:
        name = f"torchdeq {solver} + {adjoint}{' (hook_ift)' if hook else ''}"
        makers[name] = partial(_theirs_of_cell, cell, solver, adjoint, hook=hook, most=settings["max_iter"])
    for coarse in settings["by_hand"]:
        solver = "fixed_point_iter"
        name = f"torchdeq {solver} + {solver} (hook_ift), {BY_HAND} in {coarse}"
        makers[name] = partial(
            _theirs_of_cell, cell, solver, solver, hook=True, most=settings["max_iter"], coarse=getattr(torch, coarse)
        )
    found, runs = {}, {}
    for name, make in makers.items():
        forward, backward = _loosest(cell, make, settings)
        run = runs[name] = make(forward, backward)
        cell.calls = 0
        z, calls = run(), cell.calls
        found[name] = {
            "forward": forward,
            "backward": backward,
            "evaluations": calls,
            "residual": cell.residual(z),
            "error": cell.error(),
            "ms": [],
        }
    for _ in range(settings["alternations"]):
        for name, run in runs.items():
            start = perf_counter()
            run()
            found[name]["ms"].append(1e3 * (perf_counter() - start))
    return {name: {**each, "median_ms": median(each["ms"])} for name, each in found.items()}


def _loosest(cell: Cell, make: Callable[[float, float], Run], settings: dict[str, Any]) -> tuple[float, float]:
    """Return the loosest tolerances, forward and backward, that reach what all are held to; forward comes first."""
    ladder = settings["ladder"]
    for forward in ladder:
        if cell.residual(make(forward, forward)()) <= settings["residual"]:
            for backward in ladder:
                make(forward, backward)()
                if cell.error() <= settings["error"]:
                    return forward, backward
    raise SystemExit(f"no tolerances down to {ladder[-1]:.0e} reach {settings['residual']:.0e}")


class Cell:
    """The tutorial's cell, z ↦ tanh(conv(tanh(conv z) + u)), with the loss ‖z‖² / n."""

    def __init__(self, recur: Any, mix: Any, u: Any) -> None:
        self.recur, self.mix, self.u, self.calls = recur, mix, u, 0
        self.exact: tuple[Any, ...] = ()

    def __call__(self, z: Any) -> Any:
        """Return the next state."""
        from torch.nn.functional import conv2d

        self.calls += 1
        return conv2d(conv2d(z, self.recur, padding=1).tanh() + self.u, self.mix, padding=1).tanh()

    def backward(self, z: Any) -> Any:
        """Leave the gradient of the loss, and return z without its graph."""
        self.recur.grad = self.mix.grad = None
        z.square().mean().backward()
        return z.detach()

    def residual(self, z: Any) -> float:
        """Return the largest ‖f(z) − z‖ / ‖z‖ of a sample."""
        residual = (self(z) - z).detach().flatten(1).norm(dim=1) / z.flatten(1).norm(dim=1)
        return float(residual.max())

    def error(self) -> float:
        """Return how far the gradient that is left is from the exact one, relative to its size."""
        if not self.exact:
            self.exact = self._exact()
        pairs = zip((self.recur.grad, self.mix.grad), self.exact, strict=True)
        return float(max((ours - other).norm() / other.norm() for ours, other in pairs))

    def _exact(self) -> tuple[Any, ...]:
        """Return the gradient of the loss by iterations, to rounding."""
        import torch

        with torch.no_grad():
            z = torch.zeros_like(self.u)
            for _ in range(ENOUGH):
                z = self(z)
        leaf = z.requires_grad_()
        y = self(leaf)
        w = g = 2 * z.detach() / z.numel()
        for _ in range(ENOUGH):
            w = torch.autograd.grad(y, leaf, w, retain_graph=True)[0] + g
        return torch.autograd.grad(y, (self.recur, self.mix), w)


def _ours_of_cell(cell: Cell, solver: str, adjoint: str, coarse: str, forward: float, backward: float) -> Run:
    import torch

    from equilib.torch import fixed_point

    way = f"implicit:{'' if adjoint == 'gmres' else f'solver={adjoint},'}rtol={backward}"
    how: dict[str, Any] = {"rtol": forward, "atol": 0.0, "criterion": "residual", "on_failure": "record"}
    how |= {"coarse": getattr(torch, coarse)} if coarse else {}
    z0 = cell.u.new_zeros(()).expand_as(cell.u).contiguous()
    return lambda: cell.backward(fixed_point(cell, z0, solver=solver, adjoint=way, **how))


def _theirs_of_cell(
    cell: Cell, solver: str, adjoint: str, forward: float, backward: float, *, hook: bool, most: int, coarse: Any = None
) -> Run:
    import torch
    from torchdeq import get_deq

    limits = {"f_tol": forward, "b_tol": backward, "f_max_iter": most, "b_max_iter": most}
    modes = {"f_stop_mode": "rel", "b_stop_mode": "rel", "ift": not hook, "hook_ift": hook}
    deq = get_deq(f_solver=solver, b_solver=adjoint, **limits, **modes)
    z0 = cell.u.new_zeros(()).expand_as(cell.u).contiguous()
    if coarse is None:
        return lambda: cell.backward(deq(cell, z0)[0][-1])
    near = get_deq(f_solver=solver, f_tol=2 * torch.finfo(coarse).eps, f_max_iter=most, f_stop_mode="rel")

    def run() -> Any:
        with torch.no_grad(), torch.autocast("cpu", coarse, cache_enabled=False):
            start = near(lambda z: cell(z).float(), z0)[0][-1]
        return cell.backward(deq(cell, start)[0][-1])

    return run


if __name__ == "__main__":
    main()
