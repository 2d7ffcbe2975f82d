"""What equilib costs inside of PyTorch, beside torchdeq in the same process.

Small: tanh(z W + u) with 16 units in float32, W orthogonal; the time of an evaluation beyond f is the difference of a
solve that evaluates f 14 times and one that does so 4 times, less f, through `equilib.torch.fixed_point` and
torchdeq's solver. Processor time on one thread.

Cell: forward and backward pass of tanh(conv(tanh(conv z) + u)), 32×64×13×13, to a residual of 1e-3 in every sample.
The gradients must agree, so torchdeq, whose tolerance is the batch's, is held to what every sample needs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.race import Contestant, conditions, race
from benchmarks.request import Request

UNITS, FEW, MANY, BLOCKS, ALTERNATIONS = 16, 4, 14, 30, 7
BATCH, CHANNELS, SIDE, TOLERANCE = 32, 64, 13, 1e-3
SOLVERS = {"picard": "fixed_point_iter", "anderson": "anderson", "lbroyden": "broyden", "broyden": "broyden"}
OURS = (
    ("picard", None),
    ("picard", "implicit:solver=picard"),
    ("anderson", None),
    ("anderson", "implicit:solver=anderson"),
    ("lbroyden", None),
    ("newton-gmres", None),
)
THEIRS = (("fixed_point_iter", "fixed_point_iter"), ("anderson", "anderson"), ("broyden", "broyden"))


def main(request: Request) -> None:
    """Measure, and print or save the tables.

    Raises
    ------
    SystemExit
        If torchdeq is not asked for, a residual is above the tolerance, or the gradients differ.
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
        "tolerance": TOLERANCE,
        "limits": {"max_iter": 50, "tol": TOLERANCE, "stop_mode": "rel"},
        "channels_last": False,
    }

    def measured(*, small: bool, threads: int) -> dict[str, Any]:
        alone = [Contestant("torch", Path(sys.executable), "benchmarks.embed_torch", {"small": small})]
        return race(alone, _arrays(), settings, rounds=1, threads=threads)["torch"][0].report

    one, all_cores = measured(small=True, threads=1), measured(small=False, threads=request.threads)
    small, cell = one["small"], all_cores["cell"]
    _require_equal(cell)
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
    best = min((name for name in cell if name.startswith("torchdeq")), key=lambda name: cell[name]["median_ms"])
    lines.append(
        "\n| cell, forward + backward | ms | largest residual | ratio to torchdeq's fastest |\n|---|---|---|---|"
    )
    for name, each in cell.items():
        ratio = median(a / b for a, b in zip(each["ms"], cell[best]["ms"], strict=True))
        lines.append(f"| {name} | {each['median_ms']:.1f} | {each['residual']:.0e} | {ratio:.2f} |")
    request.deliver("embed", "\n".join(lines), {"settings": settings, "small": small, "cell": cell})


def _arrays() -> dict[str, np.ndarray]:
    """Return the weights, which make f contract by about a half, and the injection."""
    rng = np.random.default_rng(0)
    drawn = {name: rng.standard_normal((CHANNELS, CHANNELS, 3, 3)) for name in ("recur", "mix")}
    arrays = {name: 0.9 / 1.6 / np.sqrt(9 * CHANNELS) * each for name, each in drawn.items()}
    arrays["injection"] = rng.standard_normal((BATCH, CHANNELS, SIDE, SIDE))
    return {name: each.astype(np.float32) for name, each in arrays.items()}


def _require_equal(cell: dict[str, Any]) -> None:
    gradients = [each["gradient"] for each in cell.values()]
    if max(gradients) > 1.01 * min(gradients):
        raise SystemExit(f"the gradients differ, from {min(gradients):.4g} to {max(gradients):.4g}")
    worst = max(cell, key=lambda name: cell[name]["residual"])
    if cell[worst]["residual"] > 1.05 * TOLERANCE:
        raise SystemExit(f"{worst} left a residual of {cell[worst]['residual']:.1e}, more than {TOLERANCE:.0e}")
