"""Adam's update of an array in one pass (Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2)."""

from __future__ import annotations

from functools import cache

import numpy as np

from equilib_numba.compiling import c_function
from equilib_numba.memory import row, words
from equilib_numba.scratch import plain
from equilib_numba.team import HEAD, bounds, run

_BLOCK = 1 << 13
"""Numbers of a share."""


@cache
def _update(dtype: np.dtype) -> int:
    like, size = dtype.type(0), dtype.itemsize

    def update(given: int, share: int, place: int) -> None:
        p_at, g_at, m_at, s_at, new_at, mean_at, square_at, numbers, whole = words(given + HEAD, 9)
        blocks = bounds(given, share)
        by, count = blocks[0] * _BLOCK * size, min(blocks[1] * _BLOCK, whole) - blocks[0] * _BLOCK
        p, g = row(p_at + by, count, like), row(g_at + by, count, like)
        m, s = row(m_at + by, count, like), row(s_at + by, count, like)
        new, mean = row(new_at + by, count, like), row(mean_at + by, count, like)
        square = row(square_at + by, count, like)
        n = row(numbers, 9, like)
        rate, keep1, keep2, add1, add2 = n[0], n[1], n[2], n[3], n[4]
        bias1, bias2, epsilon, decay = n[5], n[6], n[7], n[8]
        for k in range(count):
            mean[k] = keep1 * m[k] + add1 * g[k]
            square[k] = keep2 * s[k] + add2 * (g[k] * g[k])
            new[k] = (mean[k] / bias1) / (np.sqrt(square[k] / bias2) + epsilon)
        if decay > like:
            for k in range(count):
                new[k] += decay * p[k]
        for k in range(count):
            new[k] = p[k] - rate * new[k]

    return c_function(update, 3)


def adam(
    p: np.ndarray, g: np.ndarray, mean: np.ndarray, square: np.ndarray, rate: float, beta1: float, beta2: float,
    bias1: float, bias2: float, epsilon: float, weight_decay: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Return the parameters, and the moments of their gradient, after an update."""
    given = [plain(each) for each in (p, g, mean, square)]
    found = tuple(np.empty(p.shape, p.dtype) for _ in range(3))
    numbers = (rate, beta1, beta2, 1 - beta1, 1 - beta2, bias1, bias2, epsilon, weight_decay)
    run(_update(p.dtype), -(-p.size // _BLOCK), *given, *found, np.array(numbers, p.dtype), p.size, most=1024)
    return found
