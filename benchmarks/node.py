"""The neural-ODE tutorial of Lux.jl on MNIST, trained by us and by the peers.

The same 1,500 images (1,350 to train, in batches of 128; the smaller last batch is left out), the same initial
parameters and order of the batches, Adam at 1e-3, nine epochs; dense layers 784 → 20, y' = f(y) with 20 → 10 → 10 → 20
on [0, 1], 20 → 10, rtol = atol = 1e-3. Every contestant is a process of its own; they run in turn.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.node_network import initial_params
from benchmarks.race import Contestant, Laps, conditions, laps_table, race, ratios_table, record, versions
from benchmarks.request import Request
from benchmarks.tutorial import tutorial_arrays

OURS = {
    "equilib tsit5, interpolating": {"integrator": "tsit5", "adjoint": "interpolating"},
    "equilib tsit5, discrete": {"integrator": "tsit5", "adjoint": "discrete"},
    "equilib dopri5, discrete": {"integrator": "dopri5", "adjoint": "discrete"},
}
TORCHDIFFEQ = {
    "torchdiffeq dopri5, odeint_adjoint": {"adjoint": True},
    "torchdiffeq dopri5, through the steps": {"adjoint": False},
}
DIFFRAX = {
    "diffrax tsit5, checkpointed": {"adjoint": "RecursiveCheckpointAdjoint"},
    "diffrax tsit5, backsolve": {"adjoint": "BacksolveAdjoint"},
}
SETTINGS = {"rate": 1e-3, "rtol": 1e-3, "atol": 1e-3}
EPOCHS, ROUNDS = 9, 7


def main(request: Request) -> None:
    """Race, and print or save the tables."""
    data = tutorial_arrays(300 if request.quick else 1500, 2 if request.quick else EPOCHS, batch=128, share=0.9)
    rounds = request.rounds or (1 if request.quick else ROUNDS)
    possible = {each.name: each for each in _contestants(request)}
    contestants = [possible[name] for name in request.chosen(possible)]
    runs = race(contestants, data | initial_params(), SETTINGS, rounds=rounds, threads=request.threads)
    laps = [Laps(each.name, ours=each.name in OURS, runs=runs[each.name]) for each in contestants]
    text = "\n".join(_lines(laps, request, rounds))
    request.deliver("node", text, {"settings": SETTINGS, "versions": versions(laps), "contestants": record(laps)})


def _contestants(request: Request) -> Iterator[Contestant]:
    for name, settings in OURS.items():
        yield Contestant(name, Path(sys.executable), "benchmarks.node_ours", settings)
    if "torchdiffeq" in request.peers:
        for name, options in TORCHDIFFEQ.items():
            yield Contestant(name, request.python_of("torchdiffeq"), "benchmarks.peers.torchdiffeq_node", options)
    if "diffrax" in request.peers:
        for name, options in DIFFRAX.items():
            yield Contestant(name, request.python_of("diffrax"), "benchmarks.peers.diffrax_node", options)


def _lines(laps: list[Laps], request: Request, rounds: int) -> Iterator[str]:
    yield f"# The neural-ODE tutorial\n\n{__doc__}"
    yield f"`python -m benchmarks node{request.as_typed()}`: {conditions(request.threads, rounds)}; {versions(laps)}.\n"
    yield laps_table(laps, tolerance=None, phases={"train": "epoch s"})
    if any(not lap.ours for lap in laps):
        yield f"\n{ratios_table(laps, phase='train')}"
