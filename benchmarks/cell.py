"""What the tutorial's cell costs, beside the bare matrix products inside it.

The cell is tanh(conv(tanh(conv z) + u)) with 3×3 convolutions 64 → 64 on 32×13×13×64 in float32, the injection u
computed once. The bare products are the two matrix products of those convolutions, on windows laid out beforehand: the
threads share their rows, or BLAS divides them.
With `--peers torchdeq` PyTorch evaluates the same cell, in processes that take turns with ours, and the gradient of the
mean of z² after five evaluations with respect to z and all weights.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.peers.exchange import Arrays
from benchmarks.race import Contestant, race
from benchmarks.request import Request
from benchmarks.timing import alternate, machine, paired_ratio, table
from equilib import ops
from equilib.arrays.trees import Tree
from equilib.autodiff import value_and_grad
from equilib.layers import Chain, Conv, TruncatedNormal
from equilib.machine.process import prepare_process
from equilib.models import InjectedCell

BATCH, SIDE, CHANNELS, DEPTH = 32, 13, 64, 5
PEER_ROUNDS = 7


def main(request: Request) -> None:
    """Print or save the times and the ratios."""
    rounds = request.rounds or (2 if request.quick else 60)
    rng = np.random.default_rng(0)

    def layer() -> Chain:
        weight = TruncatedNormal(0.01)
        return Chain(Conv(CHANNELS, CHANNELS, (3, 3), padding="same", bias=False, initial_weight=weight), ops.tanh)

    cell = InjectedCell(layer(), layer(), layer())
    params = cell.init(rng)
    x = rng.standard_normal((BATCH, SIDE, SIDE, CHANNELS)).astype(np.float32)
    u = cell.inject(params, x)
    z = np.tanh(rng.standard_normal(x.shape).astype(np.float32))
    columns = rng.standard_normal((BATCH * SIDE * SIDE, 9 * CHANNELS)).astype(np.float32)
    kernel = rng.standard_normal((9 * CHANNELS, CHANNELS)).astype(np.float32)

    def unrolled(tree: tuple) -> np.ndarray:
        own, state = tree
        injected = cell.inject(own, x)
        for _ in range(DEPTH):
            state = cell.step(own, state, injected)
        return ops.mean(ops.multiply(state, state))

    gradient = value_and_grad(unrolled)
    forward_name, gradient_name = f"forward, depth {DEPTH}", f"gradient, depth {DEPTH}"

    def products() -> None:
        ops.matmul(columns, kernel)
        ops.matmul(columns, kernel)

    # BLAS's own threads look for work for a while after a product, so they come first and alone.
    by_blas = alternate({"two bare products, in BLAS's threads": products}, 5 * rounds)
    prepare_process()
    time.sleep(0.2)
    # Two groups, so that a gradient does not empty the caches before each of the short ones.
    times = {
        **by_blas,
        **alternate(
            {"two bare products": products, "f": lambda: cell.step(params, z, u)},
            5 * rounds,
        ),
        **alternate(
            {forward_name: lambda: unrolled((params, z)), gradient_name: lambda: gradient((params, z))}, rounds
        ),
    }
    ratios = {
        "f / bare products": paired_ratio(times, "f", "two bare products"),
        "f / bare products in BLAS's threads": median(times["f"])
        / median(by_blas["two bare products, in BLAS's threads"]),
        f"gradient / forward at depth {DEPTH}": paired_ratio(times, gradient_name, forward_name),
    }
    lines = [f"# The cell against its matrix products\n\n{machine()}\n\n{__doc__}\n{table(times)}\n"]
    lines += [f"- {name}: {ratio:.2f}" for name, ratio in ratios.items()]
    figures: dict[str, Any] = {"times_ms": times, "ratios": ratios}
    if "torchdeq" in request.peers:
        beside = _beside_torch(named_arrays(params, x, z), request)
        lines.append(f"\n{table(beside)}\n")
        for name in list(beside)[2:]:
            own = "gradient" if "gradient" in name else "f"
            lines.append(f"- equilib's {own} / {name}: {paired_ratio(beside, f'equilib {own}', name):.2f}")
        figures["beside_torch_ms"] = beside
    request.deliver("cell", "\n".join(lines), figures)


def named_arrays(params: Tree, x: np.ndarray, z: np.ndarray) -> Arrays:
    """Return what a contestant needs to evaluate the cell."""
    return {"x": x, "z": z, **{part: params[part][0]["weight"] for part in ("inject", "recur", "after")}}


def _beside_torch(arrays: Arrays, request: Request) -> dict[str, list[float]]:
    """Return the median milliseconds of f, ours and PyTorch's, run by run.

    Raises
    ------
    SystemExit
        If the values differ beyond rounding.
    """
    contestants = [
        Contestant("equilib", Path(sys.executable), "benchmarks.cell_ours", {}),
        Contestant("torch", request.python_of("torchdeq"), "benchmarks.peers.torch_cell", {}),
    ]
    settings = {"repeats": 5 if request.quick else 200, "gradients": 2 if request.quick else 20, "depth": DEPTH}
    runs = race(contestants, arrays, settings, rounds=1 if request.quick else PEER_ROUNDS, threads=request.threads)
    ours, theirs = (runs[name][-1].arrays for name in ("equilib", "torch"))
    if any(not np.allclose(ours[name], theirs[name], atol=1e-5 * np.abs(each).max()) for name, each in theirs.items()):
        raise SystemExit("the two cells differ: the benchmark would compare different things")
    return {
        f"{library} {form}": [1e3 * median(run.report["seconds"][form]) for run in each]
        for library, each in runs.items()
        for form in each[0].report["seconds"]
    }
