"""Gradients through stiff neural ODEs, ours and diffrax's: how exact, in how many steps, in what time.

y' = r (net(y) − l y) with 2-layer tanh networks of given parameters, in float64, rtol = atol = 1e-6, each sample with
steps of its own. `oscillator` is one sample of a network that does as van der Pol's oscillator does, l = 0, with rates
r of 1 and 1000: three slow phases and two jumps, which magnify errors. `relaxations` are 32 samples of 16 units, l = 1,
with rates from 1 to 1e4. The loss is the mean square of y at 9 and at 5 times, its gradient that with respect to the
parameters. Errors are those against kencarp47 at 1e-10 with the discrete adjoint: of y at its worst, over
1e-6 (1 + |y|), and of the gradient relative to its norm. Steps are those of the sample with the most; a vjp is a
product Jᵀ·w of the backward pass. Seconds are those of y alone and of the gradient, without compiling, medians over
rounds of medians of repetitions. Every contestant is a process of its own; they run in turn.
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
from benchmarks.stiff_networks import PARAMETERS, oscillator, relaxations
from benchmarks.stiff_node_ours import ADJOINTS, INTEGRATORS, measure

TOLERANCE, TIGHT, MAX_STEPS = 1e-6, 1e-10, 4096
LARGEST_ERROR = {"oscillator": 1e-2, "relaxations": 1e-4}
"""Relative error of a gradient beyond which contestants do not compute the same; jumps magnify errors."""
ROUNDS, REPEATS = 3, 3

OURS = {
    f"equilib {name}, {adjoint}": {"integrator": name, "adjoint": adjoint}
    for name in INTEGRATORS
    for adjoint in ADJOINTS
}
DIFFRAX: dict[str, dict[str, Any]] = {
    # Its default for the stages rejects steps by thousands here, so it needs more of them.
    "diffrax Kvaerno5": {"newton": False, "checkpoints": None, "max_steps": 4 * MAX_STEPS},
    "diffrax Kvaerno5, Newton": {"newton": True, "checkpoints": None},
    "diffrax Kvaerno5, Newton, no recomputation": {"newton": True, "checkpoints": 256},
}


def main(request: Request) -> None:
    """Compare, and print or save the table.

    Raises
    ------
    SystemExit
        If right-hand sides or gradients of the contestants differ.
    """
    cases = networks(quick=request.quick)
    arrays = {f"{case}/{name}": array for case, network in cases.items() for name, array in network.items()}
    settings = {"cases": list(cases), "rtol": TOLERANCE, "atol": TOLERANCE, "max_steps": MAX_STEPS}
    settings["repeats"] = 1 if request.quick else REPEATS
    rounds = request.rounds or (1 if request.quick else ROUNDS)
    possible = {each.name: each for each in _contestants(request)}
    contestants = [possible[name] for name in request.chosen(possible)]
    runs = race(contestants, arrays, settings, rounds=rounds, threads=request.threads)
    rows = [row for case, network in cases.items() for row in _rows(case, network, runs)]
    text = "\n".join(_lines(rows, request, rounds))
    versions = {name: version for each in runs.values() for name, version in each[-1].report["versions"].items()}
    request.deliver("stiff_node", text, {"settings": settings, "versions": versions, "rows": rows})


def networks(*, quick: bool) -> dict[str, Arrays]:
    """Return the arrays of each case."""
    if quick:
        return {"oscillator": oscillator(2, 0.05), "relaxations": relaxations(2, 2, 0.05)}
    return {"oscillator": oscillator(9, 2.0), "relaxations": relaxations(5, 32, 1.0)}


def reference(network: Arrays) -> Arrays:
    """Return right-hand side, solution and gradient of a case, nearly exact."""
    how = {"integrator": "kencarp47", "adjoint": "discrete", "rtol": TIGHT, "atol": TIGHT}
    return measure(network, {**how, "max_steps": 100 * MAX_STEPS, "repeats": 0})[0]


def errors(found: Arrays, exact: Arrays) -> tuple[float, float]:
    """Return the errors of a solution and of its gradient; raises SystemExit if they solve another problem."""
    size = float(np.max(np.abs(exact["slope"])))
    if not np.allclose(found["slope"], exact["slope"], rtol=0, atol=1e-12 * size):
        raise SystemExit("the contestants differ in f(0, y(0)): the benchmark would compare different things")
    of_y = float(np.max(np.abs(found["y"] - exact["y"]) / (TOLERANCE * (1 + np.abs(exact["y"])))))
    ours, true = (np.concatenate([each[name].ravel() for name in PARAMETERS]) for each in (found, exact))
    return of_y, float(np.linalg.norm(ours - true) / np.linalg.norm(true))


def _contestants(request: Request) -> Iterator[Contestant]:
    for name, settings in OURS.items():
        yield Contestant(name, Path(sys.executable), "benchmarks.stiff_node_ours", settings)
    if "diffrax" in request.peers:
        for name, options in DIFFRAX.items():
            yield Contestant(name, request.python_of("diffrax"), "benchmarks.peers.diffrax_stiff_node", options)


def _rows(case: str, network: Arrays, runs: dict[str, list[Finished]]) -> Iterator[dict[str, Any]]:
    exact = reference(network)
    for name, laps in runs.items():
        found = {each: laps[-1].arrays[f"{case}/{each}"] for each in exact}
        of_y, of_gradient = errors(found, exact)
        if not of_gradient <= LARGEST_ERROR[case]:
            raise SystemExit(f"{name} is {of_gradient:.1e} off the gradient of {case}: its times would mean nothing")
        figures = [lap.report["cases"][case] for lap in laps]
        counts = {each: figures[-1][each] for each in ("accepted", "rejected", "nfe", "njvp", "vjp")}
        times = {each: [median(lap[each]) for lap in figures] for each in ("forward", "gradient")}
        compiling = [lap["compile_seconds"] for lap in figures if lap["compile_seconds"] is not None]
        yield {
            "case": case,
            "contestant": name,
            "error": of_y,
            "gradient_error": of_gradient,
            **counts,
            **times,
            "compile_seconds": median(compiling) if compiling else None,
        }


def _lines(rows: list[dict[str, Any]], request: Request, rounds: int) -> Iterator[str]:
    yield f"# Stiff neural ODEs\n\n{__doc__}"
    yield f"`python -m benchmarks stiff_node{request.as_typed()}`: {conditions(request.threads, rounds)}.\n"
    titles = ["case", "contestant", "error / tolerance", "gradient's error", "steps (+ rejected)"]
    titles += ["forward nfe + jvp", "backward vjp", "forward s", "gradient s (min–max)", "compiling s"]
    yield "| " + " | ".join(titles) + " |\n|" + "---|" * len(titles)
    for row in rows:
        nfe = "–" if row["nfe"] is None else f"{row['nfe']} + {row['njvp']}"
        times = row["gradient"]
        cells = [row["case"], row["contestant"], f"{row['error']:.1f}", f"{row['gradient_error']:.0e}"]
        cells += [f"{row['accepted']} + {row['rejected']}", nfe, _figure(row["vjp"], "d")]
        cells += [f"{median(row['forward']):.3f}", f"{median(times):.3f} ({min(times):.3f}–{max(times):.3f})"]
        yield "| " + " | ".join([*cells, _figure(row["compile_seconds"], ".1f")]) + " |"


def _figure(value: float | None, spec: str) -> str:
    return "–" if value is None else format(value, spec)
