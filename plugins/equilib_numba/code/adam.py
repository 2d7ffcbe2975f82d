"""Adam's update of an array in one pass (Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib_numba.adam import BLOCK
from equilib_numba.code.memory import row, words
from equilib_numba.code.team import bounds
from equilib_numba.records import HEAD


def update(dtype: np.dtype) -> Any:
    """Return the function of shares of blocks."""
    like, size = dtype.type(0), dtype.itemsize

    def update(given: int, share: int, place: int) -> None:
        p_at, g_at, m_at, s_at, new_at, mean_at, square_at, numbers, whole = words(given + HEAD, 9)
        blocks = bounds(given, share)
        by, count = blocks[0] * BLOCK * size, min(blocks[1] * BLOCK, whole) - blocks[0] * BLOCK
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

    return update
