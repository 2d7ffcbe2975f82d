"""What equilib costs inside of PyTorch, beside torchdeq in the same process.

Small: tanh(z W + u) with 16 units in float32, W orthogonal; the time of an evaluation beyond f is the difference of a
solve that evaluates f 14 times and one that does so 4 times, less f, through `equilib.torch.fixed_point` and
torchdeq's solver. Processor time on one thread.

Cell: forward and backward pass of z ↦ tanh(conv(tanh(conv z) + u)), 32×64×13×13, at equal results: the tolerances of
each contestant, forward and backward, are the loosest of a ladder (from 0.1 to 1e-5, at 1, 2 and 5) with which what it
returns has a residual of at most 1e-3 in every sample, relative to z, and the gradient of the weights differs from the
exact one by at most 1e-2. torchdeq returns f at the iterate that met its tolerance, for which a looser one will do.
Where its memory lies makes a process up to a third slower: ratios are medians of several ones. With `coarse bfloat16`
first evaluations are under autocast, which is faster where the processor has units for it. "Begun by hand" calls
torchdeq twice to that end, first under autocast to twice the rounding of its dtype.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.embed_torch import BY_HAND
from benchmarks.race import Contestant, conditions, race
from benchmarks.request import Request

UNITS, FEW, MANY, BLOCKS, ALTERNATIONS, PROCESSES = 16, 4, 14, 30, 7, 7
BATCH, CHANNELS, SIDE, RESIDUAL, ERROR = 32, 64, 13, 1e-3, 1e-2
SOLVERS = {"picard": "fixed_point_iter", "anderson": "anderson", "lbroyden": "broyden", "broyden": "broyden"}
LADDER = [digit * 10.0**-decade for decade in (2, 3, 4, 5) for digit in (10, 5, 2)] + [1e-5]
OURS = [("picard", "picard", "bfloat16"), ("picard", "picard", ""), ("picard", "gmres", ""), ("anderson", "gmres", "")]
OURS += [("anderson", "anderson", ""), ("lbroyden", "gmres", ""), ("newton-gmres", "gmres", "")]
THEIRS = [(name, name, hook) for name in ("fixed_point_iter", "anderson", "broyden") for hook in (False, True)]


def main(request: Request) -> None:
    """Measure, and print or save the tables.

    Raises
    ------
    SystemExit
        If torchdeq is not asked for, or a contestant does not reach the residual or the gradient.
    """
    if "torchdeq" not in request.peers:
        raise SystemExit("PyTorch comes with a peer here: python -m benchmarks embed --peers torchdeq")
    python = request.python_of("torchdeq")
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    alternations = request.rounds or (1 if request.quick else ALTERNATIONS)
    settings: dict[str, Any] = {
        "alternations": alternations,
        "packages": str(packages),
        "batches": [1, 32],
        "units": UNITS,
        "few": FEW,
        "many": MANY,
        "blocks": 2 if request.quick else BLOCKS,
        "solvers": SOLVERS,
        "ours": OURS,
        "theirs": THEIRS,
        "by_hand": ["bfloat16"],
        "ladder": LADDER,
        "residual": RESIDUAL,
        "error": ERROR,
        "max_iter": 50,
        "channels_last": False,
    }

    def measured(*, small: bool, threads: int, processes: int) -> list[dict[str, Any]]:
        alone = [Contestant("torch", Path(sys.executable), "benchmarks.embed_torch", {"small": small})]
        runs = race(alone, _arrays(), settings, rounds=processes, threads=threads)["torch"]
        return [run.report for run in runs]

    (one,) = measured(small=True, threads=1, processes=1)
    processes = 1 if request.quick else PROCESSES
    small = one["small"]
    cells = [run["cell"] for run in measured(small=False, threads=request.threads, processes=processes)]
    lines = [f"# equilib inside of PyTorch\n\n{__doc__}"]
    versions = ", ".join(f"{name} {number}" for name, number in one["versions"].items())
    lines.append(
        f"`python -m benchmarks embed{request.as_typed()}`: {conditions(request.threads, alternations)}; {versions}.\n"
    )
    lines.append("| small | equilib: µs beyond f | torchdeq | ratio |\n|---|---|---|---|")
    for name, each in small.items():
        ours, theirs = (median(pair[side] for pair in each["us"]) for side in (0, 1))
        ratio = median(pair[0] / pair[1] for pair in each["us"])
        lines.append(f"| {name} / {each['peer']} | {ours:.1f} | {theirs:.1f} | {ratio:.2f} |")
    titles = ("cell, forward + backward", "tolerances", "evaluations", "residual", "gradient's error", "ms")
    titles += (f"ratio to torchdeq's fastest: median of {processes} processes (least-largest)",)
    lines.append("\n| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
    for name, each in cells[0].items():
        exact = f"{each['evaluations']} | {each['residual']:.0e} | {each['error']:.0e}"
        tolerances = f"{each['forward']:.0e}, {each['backward']:.0e}"
        ratios = sorted(_to_fastest(cell, name) for cell in cells)
        spread = f"{median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
        time = median(cell[name]["median_ms"] for cell in cells)
        lines.append(f"| {name} | {tolerances} | {exact} | {time:.1f} | {spread} |")
    request.deliver("embed", "\n".join(lines), {"settings": settings, "small": small, "cells": cells})


def _to_fastest(cell: dict[str, Any], name: str) -> float:
    """Return the ratio to the fastest of torchdeq's in one process, as the median of its alternations."""
    theirs = [each for each in cell if each.startswith("torchdeq") and BY_HAND not in each]
    best = min(theirs, key=lambda each: cell[each]["median_ms"])
    return median(a / b for a, b in zip(cell[name]["ms"], cell[best]["ms"], strict=True))


def _arrays() -> dict[str, np.ndarray]:
    """Return the weights, which make f contract by about a half, and the injection."""
    rng = np.random.default_rng(0)
    drawn = {name: rng.standard_normal((CHANNELS, CHANNELS, 3, 3)) for name in ("recur", "mix")}
    arrays = {name: 0.9 / 1.6 / np.sqrt(9 * CHANNELS) * each for name, each in drawn.items()}
    arrays["injection"] = rng.standard_normal((BATCH, CHANNELS, SIDE, SIDE))
    return {name: each.astype(np.float32) for name, each in arrays.items()}
