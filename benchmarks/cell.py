"""What the tutorial's cell costs, beside the bare matrix products inside it.

The cell is tanh(conv(tanh(conv z) + u)) with 3×3 convolutions 64 → 64 on 32×13×13×64 in float32, the injection u
computed once. The bare products are the two matrix products of those convolutions, on windows laid out beforehand.
"""

from __future__ import annotations

import numpy as np

from benchmarks.timing import alternate, machine, paired_ratio, table
from equilib import ops
from equilib.autodiff import value_and_grad
from equilib.layers import Chain, Conv, TruncatedNormal
from equilib.models import InjectedCell
from equilib.training.allocator import keep_big_blocks

BATCH, SIDE, CHANNELS, DEPTH = 32, 13, 64, 5


def main(rounds: int = 60) -> None:
    """Print the times and the two ratios."""
    keep_big_blocks()
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
    # Two groups, so that a gradient does not empty the caches before each of the short ones.
    times = {
        **alternate(
            {
                "two bare products": lambda: (columns @ kernel, columns @ kernel),
                "f": lambda: cell.step(params, z, u),
            },
            5 * rounds,
        ),
        **alternate(
            {forward_name: lambda: unrolled((params, z)), gradient_name: lambda: gradient((params, z))}, rounds
        ),
    }
    print(machine())
    print(f"{__doc__}\n{table(times)}\n")
    print(f"f / bare products: {paired_ratio(times, 'f', 'two bare products'):.2f}")
    print(f"gradient / forward at depth {DEPTH}: {paired_ratio(times, gradient_name, forward_name):.2f}")
