"""What equilib costs inside of JAX's `jit`, beside jaxopt in the same process.

z = tanh(z W + u) with 16 units, batch 1, and z = tanh(conv(z) + u) of 32×13×13×64, float32, from zero to a residual of
1e-4 and 1e-3 of z in every sample: jaxopt, whose tolerance is that of the whole state, gets the loosest that holds each
sample to it. Forward, and the gradient of Σ z² with respect to W and u, by jaxopt's own implicit differentiation.

A solve of 16 units takes about as long as JAX's hand-over to the thread that does it, whose processor time counts, too:
whether the caller falls asleep before it ends is worth more than the solve. "At once" is without that hand-over, by
`jax_cpu_enable_async_dispatch=False`. Either differs between processes, so of the small state each ratio is the median
of several ones, and beside it are the least and the largest.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.race import Contestant, conditions, race
from benchmarks.request import Request

ALTERNATIONS, PROCESSES, UNITS, CHANNELS, BATCH, SIDE = 7, 7, 16, 64, 32, 13
SOLVERS = {"picard": "FixedPointIteration", "anderson": "AndersonAcceleration", "lbroyden": "Broyden"}
TOLERANCES = {"dense": 1e-4, "conv": 1e-3}


def main(request: Request) -> None:
    """Measure, and print or save the table.

    Raises
    ------
    SystemExit
        If jaxopt is not asked for, or a residual is above the tolerance.
    """
    if "jaxopt" not in request.peers:
        raise SystemExit("JAX comes with a peer here: python -m benchmarks embed_jax --peers jaxopt")
    (packages,) = request.python_of("jaxopt").parents[1].glob("lib/python*/site-packages")
    alternations = request.rounds or (1 if request.quick else ALTERNATIONS)
    settings = {"alternations": alternations, "packages": str(packages), "solvers": SOLVERS}
    dense, conv = ({"tolerances": {state: TOLERANCES[state]}} for state in ("dense", "conv"))
    small = [_contestant("jax", dense), _contestant("at once", {**dense, "at_once": True})]
    runs = race(small, _arrays(), settings, rounds=1 if request.quick else PROCESSES, threads=request.threads)
    if not request.quick:
        runs |= race([_contestant("conv", conv)], _arrays(), settings, rounds=1, threads=request.threads)
    reports = {name: [each.report for each in run] for name, run in runs.items()}
    report = reports["jax"][0]
    figures = {
        f"{title}{', at once' if name == 'at once' else ''}": [each["figures"][title] for each in several]
        for name, several in reports.items()
        for title in several[0]["figures"]
    }
    report = {
        **report,
        "figures": figures,
        "unreached": [each for run in reports.values() for each in run[0]["unreached"]],
    }
    lines = [f"# equilib inside of JAX\n\n{__doc__}"]
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    typed = f"`python -m benchmarks embed_jax{request.as_typed()}`"
    lines.append(f"{typed}: {conditions(request.threads, alternations)}; {versions}.\n")
    lines.append(
        "| | equilib: µs | jaxopt | ratio | evaluations | residuals over the tolerance |\n|---|---|---|---|---|---|"
    )
    lines += [_row(name, each) for name, each in figures.items()]
    lines += [f"\n{name}: jaxopt's does not reach the tolerance within 50 steps." for name in report["unreached"]]
    request.deliver("embed_jax", "\n".join(lines), {"settings": settings, **report})


def _contestant(name: str, settings: dict[str, Any]) -> Contestant:
    return Contestant(name, Path(sys.executable), "benchmarks.embed_jax_both", settings)


def _row(name: str, processes: list[dict[str, Any]]) -> str:
    ours, theirs = (median(median(pair[side] for pair in each["us"]) for each in processes) for side in (0, 1))
    ratios = [median(pair[0] / pair[1] for pair in each["us"]) for each in processes]
    between = f" ({min(ratios):.2f}-{max(ratios):.2f})" if len(ratios) > 1 else ""
    first = processes[0]
    if max(first["residuals"]) > 1.05:
        raise SystemExit(f"{name}: residuals of {first['residuals']} times the tolerance")
    counts, residuals = " / ".join(map(str, first["nfe"])), " / ".join(f"{size:.2f}" for size in first["residuals"])
    return f"| {name} | {ours:.0f} | {theirs:.0f} | {median(ratios):.2f}{between} | {counts} | {residuals} |"


def _arrays() -> dict[str, np.ndarray]:
    """Return the weights, with which f contracts, and the injections."""
    rng = np.random.default_rng(0)
    arrays = {
        "dense_weight": 0.8 * np.linalg.qr(rng.standard_normal((UNITS, UNITS)))[0],
        "dense_injection": rng.standard_normal((1, UNITS)),
        "conv_weight": 0.9 / 1.6 / np.sqrt(9 * CHANNELS) * rng.standard_normal((3, 3, CHANNELS, CHANNELS)),
        "conv_injection": rng.standard_normal((BATCH, SIDE, SIDE, CHANNELS)),
    }
    return {name: each.astype(np.float32) for name, each in arrays.items()}
