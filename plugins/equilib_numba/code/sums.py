"""Sums of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib_numba.code.compiling import compiled
from equilib_numba.code.memory import row, words
from equilib_numba.code.team import bounds
from equilib_numba.records import HEAD


@compiled
def add_rows(like: Any, source: int, rows: int, count: int, target: int) -> None:
    """Write the sums of rows of `count` numbers, four rows at a time."""
    whole, total = row(source, rows * count, like), row(target, count, like)
    for k in range(count):
        total[k] = like
    four = rows - rows % 4
    for r in range(0, four, 4):
        a, b = whole[r * count : (r + 1) * count], whole[(r + 1) * count : (r + 2) * count]
        c, d = whole[(r + 2) * count : (r + 3) * count], whole[(r + 3) * count : (r + 4) * count]
        for k in range(count):
            total[k] += (a[k] + b[k]) + (c[k] + d[k])
    for r in range(four, rows):
        a = whole[r * count : (r + 1) * count]
        for k in range(count):
            total[k] += a[k]


def add(dtype: np.dtype) -> Any:
    """Return the function of shares of parts of the rows of samples."""
    like, size = dtype.type(0), dtype.itemsize

    def parts(given: int, share: int, place: int) -> None:
        x, sums, number, rows, count = words(given + HEAD, 5)
        first, last = bounds(given, share)
        for item in range(first, last):
            sample, part = item // number, item % number
            start, stop = rows * part // number, rows * (part + 1) // number
            source = x + (sample * rows + start) * count * size
            add_rows(like, source, stop - start, count, sums + item * count * size)

    return parts
