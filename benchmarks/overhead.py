"""What Python costs: the time of a solver's step beyond f, and of f and its derivatives where arithmetic vanishes.

The cell is tanh(z W + u) with 16 units, batch 1, float32, W orthogonal, so that no solver is done before the steps are.
A solver's step is the difference of a solve that evaluates f 14 times and one that does so 4 times, over the number of
evaluations and products between the two; *beyond f* is that less the time of f (of its linearization and of products
J·v for newton-gmres). Times are processor time on one thread, medians over blocks of calls and over processes in turn.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.peers.exchange import Arrays, Finished
from benchmarks.race import Contestant, conditions, race
from benchmarks.request import Request

UNITS, FEW, MANY, DEPTH = 16, 4, 14, 5
ROUNDS, BLOCKS = 5, 40
OURS = ("picard", "anderson", "broyden", "lbroyden", "newton-gmres")
# Solver of torchdeq, and ours beside it.
TORCHDEQ = {
    "fixed_point_iter": ("picard",),
    "anderson": ("anderson",),
    "broyden": ("broyden", "lbroyden"),
}
PIECES = {
    "f": "f, outside a trace (torch: no_grad)",
    "linearize": "f, recorded (torch: with a graph)",
    "vjp": "Jᵀ·w of a recorded f (torch: autograd.grad)",
    "jvp": "J·v of a recorded f",
    "gradient": f"gradient of a sum through {DEPTH} evaluations, with respect to W and u",
}


def main(request: Request) -> None:
    """Measure, and print or save the tables.

    Raises
    ------
    SystemExit
        If the values, derivatives or numbers of evaluations of the contestants differ.
    """
    rounds = request.rounds or (1 if request.quick else ROUNDS)
    settings = {"few": FEW, "many": MANY, "depth": DEPTH, "blocks": 3 if request.quick else BLOCKS}
    contestants = [Contestant("equilib", Path(sys.executable), "benchmarks.overhead_ours", {"solvers": OURS})]
    if "torchdeq" in request.peers:
        python, solvers = request.python_of("torchdeq"), list(TORCHDEQ)
        contestants.append(Contestant("torchdeq", python, "benchmarks.peers.torchdeq_overhead", {"solvers": solvers}))
    runs = race(contestants, cell(), settings, rounds=rounds, threads=1)
    if "torchdeq" in runs:
        _require_equal(runs["equilib"][-1].arrays, runs["torchdeq"][-1].arrays)
    pieces = {name: _medians([run.report["pieces"] for run in each]) for name, each in runs.items()}
    steps = {name: _steps(each) for name, each in runs.items()}
    text = "\n".join(_lines(pieces, steps, request, rounds))
    versions = {name: version for each in runs.values() for name, version in each[-1].report["versions"].items()}
    figures = {"settings": settings, "versions": versions, "pieces_us": pieces, "steps": steps}
    request.deliver("overhead", text, figures)


def cell() -> Arrays:
    """Return W, u, the initial guess and a cotangent."""
    rng = np.random.default_rng(0)
    orthogonal, _ = np.linalg.qr(rng.standard_normal((UNITS, UNITS)))
    drawn = {name: rng.standard_normal((1, UNITS)).astype(np.float32) for name in ("cotangent", "injection")}
    zero = np.zeros((1, UNITS), np.float32)
    return {"weight": orthogonal.astype(np.float32), "z": zero, **drawn, "injection": 0.1 * drawn["injection"]}


def _require_equal(ours: Arrays, theirs: Arrays) -> None:
    for name in theirs:
        if not np.allclose(ours[name], theirs[name], atol=1e-5):
            raise SystemExit(f"the contestants differ in {name}: the benchmark would compare different things")


def _medians(times: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(each[name] for each in times) for name in times[0]}


def _steps(runs: list[Finished]) -> dict[str, dict[str, Any]]:
    """Return for each solver the work between the two solves, microseconds per unit of work and those beyond f."""
    found = {}
    for solver, work in runs[-1].report["solvers"].items():
        calls = {name: work["many"][name] - work["few"][name] for name in ("f", "linearize", "jvp")}
        whole, beyond = [], []
        for run in runs:
            report = run.report
            between = report["solvers"][solver]["many"]["us"] - report["solvers"][solver]["few"]["us"]
            inside = sum(count * report["pieces"].get(name, 0.0) for name, count in calls.items())
            whole.append(between / sum(calls.values()))
            beyond.append((between - inside) / sum(calls.values()))
        found[solver] = {"calls": calls, "us": median(whole), "beyond_us": median(beyond)}
    return found


def _lines(
    pieces: dict[str, dict[str, float]], steps: dict[str, dict[str, dict[str, Any]]], request: Request, rounds: int
) -> Iterator[str]:
    yield f"# The overhead of Python\n\n{__doc__}"
    yield f"`python -m benchmarks overhead{request.as_typed()}`: {conditions(1, rounds)}.\n"
    peer = pieces.get("torchdeq", {})
    yield "| µs | equilib | PyTorch | ratio |\n|---|---|---|---|"
    for name, title in PIECES.items():
        ours, theirs = pieces["equilib"][name], peer.get(name)
        yield f"| {title} | {ours:.1f} | {_figure(theirs)} | {_ratio(ours, theirs)} |"
    yield "\n| solver | evaluations + products | µs for each | beyond f | torchdeq: µs | beyond f | ratio beyond f |"
    yield "|---|---|---|---|---|---|---|"
    for name, step in steps["equilib"].items():
        counterpart = next((theirs for theirs, ours in TORCHDEQ.items() if name in ours), None)
        theirs = steps.get("torchdeq", {}).get(counterpart or "", {})
        calls = step["calls"]
        work = f"{calls['f'] + calls['linearize']}" + (f" + {calls['jvp']}" if calls["jvp"] else "")
        cells = [f"{step['us']:.1f}", f"{step['beyond_us']:.1f}", _figure(theirs.get("us"))]
        cells += [_figure(theirs.get("beyond_us")), _ratio(step["beyond_us"], theirs.get("beyond_us"))]
        yield f"| {name} | {work} | " + " | ".join(cells) + " |"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _ratio(ours: float, theirs: float | None) -> str:
    return "–" if theirs is None else f"{ours / theirs:.2f}"
