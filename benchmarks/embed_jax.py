"""What equilib costs inside of JAX's `jit`, beside jaxopt in the same process.

z = tanh(z W + u) with 16 units, batch 1, and z = tanh(conv(z) + u) of 32×13×13×64, float32, from zero to a residual of
1e-4 and 1e-3 of z in every sample: jaxopt, whose tolerance is that of the whole state, gets the loosest that holds each
sample to it. Forward, and the gradient of Σ z² with respect to W and u, by jaxopt's own implicit differentiation.

A solve of 16 units takes about as long as JAX's hand-over to the thread that does it, whose processor time counts, too:
whether the caller falls asleep before it ends is worth more than the solve. "At once" is without that hand-over, by
`jax_cpu_enable_async_dispatch=False`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.race import Contestant, conditions, race
from benchmarks.request import Request

ALTERNATIONS, UNITS, CHANNELS, BATCH, SIDE = 7, 16, 64, 32, 13
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
    settings = {
        "alternations": alternations,
        "packages": str(packages),
        "solvers": SOLVERS,
        "tolerances": {"dense": TOLERANCES["dense"]} if request.quick else TOLERANCES,
    }
    how = {"jax": {}, "at once": {"tolerances": {"dense": TOLERANCES["dense"]}, "at_once": True}}
    contestants = [
        Contestant(name, Path(sys.executable), "benchmarks.embed_jax_both", each) for name, each in how.items()
    ]
    runs = race(contestants, _arrays(), settings, rounds=1, threads=request.threads)
    report, at_once = (runs[name][0].report for name in how)
    report["figures"] |= {f"{name}, at once": each for name, each in at_once["figures"].items()}
    lines = [f"# equilib inside of JAX\n\n{__doc__}"]
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    typed = f"`python -m benchmarks embed_jax{request.as_typed()}`"
    lines.append(f"{typed}: {conditions(request.threads, alternations)}; {versions}.\n")
    lines.append(
        "| | equilib: µs | jaxopt | ratio | evaluations | residuals over the tolerance |\n|---|---|---|---|---|---|"
    )
    lines += [_row(name, each) for name, each in report["figures"].items()]
    lines += [f"\n{name}: jaxopt's does not reach the tolerance within 50 steps." for name in report["unreached"]]
    request.deliver("embed_jax", "\n".join(lines), {"settings": settings, **report})


def _row(name: str, each: dict[str, Any]) -> str:
    ours, theirs = (median(pair[side] for pair in each["us"]) for side in (0, 1))
    ratio = median(pair[0] / pair[1] for pair in each["us"])
    if max(each["residuals"]) > 1.05:
        raise SystemExit(f"{name}: residuals of {each['residuals']} times the tolerance")
    counts, residuals = " / ".join(map(str, each["nfe"])), " / ".join(f"{size:.2f}" for size in each["residuals"])
    return f"| {name} | {ours:.0f} | {theirs:.0f} | {ratio:.2f} | {counts} | {residuals} |"


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
