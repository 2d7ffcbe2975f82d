"""Adam's update of an array in one pass (Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equilib_numba.scratch import plain
from equilib_numba.team import run

BLOCK = 1 << 13
"""Numbers of a share."""


def adam(
    params: Sequence[np.ndarray], gradient: Sequence[np.ndarray], mean: Sequence[np.ndarray],
    square: Sequence[np.ndarray], rate: float, beta1: float, beta2: float, bias1: float, bias2: float, epsilon: float,
    weight_decay: float,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Return the parameters, and the moments of their gradient, after an update."""
    numbers = rate, beta1, beta2, 1 - beta1, 1 - beta2, bias1, bias2, epsilon
    results = []
    for leaf in zip(params, gradient, mean, square, strict=True):
        p, given = leaf[0], [plain(each) for each in leaf]
        found = tuple(np.empty(p.shape, p.dtype) for _ in range(3))
        own = np.array((*numbers, weight_decay if p.ndim > 1 else 0.0), p.dtype)
        run("adam.update", p.dtype, -(-p.size // BLOCK), *given, *found, own, p.size, most=1024)
        results.append(found)
    return tuple(each[i] for i in range(3) for each in results)
