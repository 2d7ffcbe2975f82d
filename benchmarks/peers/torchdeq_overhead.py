"""PyTorch and torchdeq's solvers where arithmetic vanishes: run by `benchmarks.overhead`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch
from torchdeq.solver import get_solver

from benchmarks.peers.exchange import Arrays, hand_back, receive
from benchmarks.peers.stopwatch import microseconds

STARTS_WITH = {"broyden": 1}
"""Evaluations that a solver does not count as one of its `max_iter`."""


def main() -> None:
    """Time the pieces and every solver; return values and times."""
    folder, arrays, settings = receive()
    torch.set_num_threads(settings["threads"])
    torch.set_grad_enabled(False)
    weight, u, z, w = (torch.from_numpy(arrays[name]) for name in ("weight", "injection", "z", "cotangent"))

    def f(z: torch.Tensor, weight: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z @ weight + u)

    leaf, own_weight, own_u = (each.clone().requires_grad_() for each in (z, weight, u))

    @torch.enable_grad()
    def recorded() -> torch.Tensor:
        return f(leaf, weight, u)

    @torch.enable_grad()
    def gradient() -> tuple[torch.Tensor, ...]:
        state = z
        for _ in range(settings["depth"]):
            state = f(state, own_weight, own_u)
        return torch.autograd.grad(state.sum(), (own_weight, own_u))

    y = recorded()
    calls: dict[str, Callable[[], Any]] = {
        "f": lambda: f(z, weight, u),
        "linearize": recorded,
        "vjp": lambda: torch.autograd.grad(y, leaf, w, retain_graph=True),
        "gradient": gradient,
    }
    pieces = {name: microseconds(call, settings["blocks"]) for name, call in calls.items()}
    solvers = {name: _times(name, lambda z: f(z, weight, u), z, settings) for name in settings["solvers"]}
    found: Arrays = {"f": f(z, weight, u).numpy(), "vjp": calls["vjp"]()[0].numpy()}
    found |= {name: each.numpy() for name, each in zip(("weight", "injection"), gradient(), strict=True)}
    versions = {name: version(name) for name in ("torch", "torchdeq")}
    hand_back(folder, found, {"pieces": pieces, "solvers": solvers, "versions": versions})


def _times(
    name: str, f: Callable[[torch.Tensor], torch.Tensor], z: torch.Tensor, settings: dict[str, Any]
) -> dict[str, Any]:
    """Return the calls of f and the microseconds of a short and of a long solve, neither of which gets to its end."""
    times: dict[str, Any] = {}
    for length in ("few", "many"):
        limits = {"max_iter": settings[length] - STARTS_WITH.get(name, 0), "tol": 0.0, "stop_mode": "rel"}
        calls = 0

        def counted(z: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += 1
            return f(z)

        solver = get_solver(name)
        solver(counted, z, **limits)
        work = {"f": calls, "linearize": 0, "jvp": 0}
        times[length] = {
            **work,
            "us": microseconds(lambda limits=limits: solver(f, z, **limits), settings["blocks"]),  # noqa: B023
        }
    return times


if __name__ == "__main__":
    main()
