"""The MNIST tutorial of DeepEquilibriumNetworks.jl, trained by us and by the peers.

The model `regdeq`: the same 2,500 images (2,000 to train, in batches of 32; the smaller last batch is left out), the
same initial parameters and order of the batches, Adam at 5e-4, two epochs at a fixed depth of 5 and three through the
equilibrium. Forward and adjoint: ‖residual‖ ≤ 1e-3 of the size of the state or cotangent, each sample, at most 30
steps: with the tutorial's 10 not every contestant reaches the tolerance. Every contestant is a process of its own; they
run in turn. The injection is computed once per solve by all, and what is the same for all samples in f(0, x), the
initial guess, once per batch. Where it says "warm", a solve in training starts at the equilibrium that the epoch before
found for the sample (`equilib run --warm-start equilibria`), while the guess stays what it is in the loss.
Residuals are of the final model's equilibria for 100 test images, computed by us in float64, relative to ‖z‖.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.race import Contestant, Laps, conditions, laps_table, race, ratios_table, record, versions
from benchmarks.request import Request
from benchmarks.tutorial import equilibrium_residuals, initial_params, tutorial_arrays

TOLERANCE = 1e-3
NEWTON_GMRES = "newton-gmres:linear_solver.restart=10"
# Solver, and the adjoint where it is not the solver's own.
OURS: dict[str, dict[str, str | None]] = {
    "equilib newton-gmres": {"solver": NEWTON_GMRES, "adjoint": None, "warm_start": "none"},
    "equilib anderson": {"solver": "anderson", "adjoint": None, "warm_start": "none"},
    "equilib lbroyden": {"solver": "lbroyden", "adjoint": None, "warm_start": "none"},
    "equilib newton-gmres, warm": {
        "solver": NEWTON_GMRES,
        "adjoint": None,
        "warm_start": "equilibria",
    },
    "equilib anderson, warm": {"solver": "anderson", "adjoint": None, "warm_start": "equilibria"},
}
# Forward and backward solver. Its Anderson mixing has an absolute ridge, in which small cotangents drown.
TORCHDEQ: dict[str, dict[str, Any]] = {
    "torchdeq anderson": {"solver": "anderson", "backward": "anderson"},
    "torchdeq anderson, fixed_point_iter": {"solver": "anderson", "backward": "fixed_point_iter"},
    "torchdeq anderson, broyden, hook_ift": {"solver": "anderson", "backward": "broyden", "hook_ift": True},
    "torchdeq anderson, fixed_point_iter, warm": {"solver": "anderson", "backward": "fixed_point_iter", "warm": True},
    "torchdeq broyden, broyden": {"solver": "broyden", "backward": "broyden"},
    "torchdeq fixed_point_iter": {"solver": "fixed_point_iter", "backward": "fixed_point_iter"},
    "torchdeq anderson, fixed_point_iter, channels first": {
        "solver": "anderson",
        "backward": "fixed_point_iter",
        "channels_last": False,
    },
}
JAX: dict[str, dict[str, Any]] = {"jax anderson": {}}
SCHEDULE = {"pretrain_epochs": 2, "depth": 5, "epochs": 3, "rate": 5e-4, "tolerance": TOLERANCE, "max_steps": 30}
ROUNDS = 5


def main(request: Request) -> None:
    """Race, and print or save the tables."""
    quick = {"pretrain_epochs": 1, "epochs": 1} if request.quick else {}
    settings = {**SCHEDULE, **quick}
    images = 200 if request.quick else 2500
    data = tutorial_arrays(images, settings["pretrain_epochs"] + settings["epochs"])
    rounds = request.rounds or (1 if request.quick else ROUNDS)
    possible = {each.name: each for each in _contestants(request)}
    contestants = [possible[name] for name in request.chosen(possible)]
    runs = race(contestants, data | initial_params(), settings, rounds=rounds, threads=request.threads)
    laps = [
        Laps(
            each.name,
            ours=each.name in OURS,
            runs=runs[each.name],
            residuals=equilibrium_residuals(runs[each.name][-1].arrays, data),
        )
        for each in contestants
    ]
    text = "\n".join(_lines(laps, request, rounds))
    request.deliver("mnist", text, {"settings": settings, "versions": versions(laps), "contestants": record(laps)})


def _contestants(request: Request) -> Iterator[Contestant]:
    for name, settings in OURS.items():
        yield Contestant(name, Path(sys.executable), "benchmarks.mnist_ours", settings)
    if "torchdeq" in request.peers:
        for name, options in TORCHDEQ.items():
            yield Contestant(name, request.python_of("torchdeq"), "benchmarks.peers.torchdeq_mnist", options)
    if "jax" in request.peers:
        for name, options in JAX.items():
            yield Contestant(name, request.python_of("jax"), "benchmarks.peers.jax_mnist", options)


def _lines(laps: list[Laps], request: Request, rounds: int) -> Iterator[str]:
    yield f"# The MNIST tutorial\n\n{__doc__}"
    typed = f"`python -m benchmarks mnist{request.as_typed()}`"
    yield f"{typed}: {conditions(request.threads, rounds)}; {versions(laps)}.\n"
    phases = {"pretrain": "pretraining epoch s", "train": "DEQ epoch s"}
    yield laps_table(laps, tolerance=TOLERANCE, phases=phases)
    if any(not lap.ours for lap in laps):
        yield f"\n{ratios_table(laps, phase='train')}"
        equal = [lap for lap in laps if lap.residuals is not None and np.all(lap.residuals <= 1.05 * TOLERANCE)]
        yield f"\nEqual residuals: {', '.join(lap.name for lap in equal) or 'none'} reached the tolerance everywhere."
