"""Sums of rows."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import numpy as np

from equilib_numba.axes import axes_together
from equilib_numba.compiling import c_function, compiled
from equilib_numba.memory import row, words
from equilib_numba.scratch import plain, scratch
from equilib_numba.team import HEAD, bounds, run

_ROWS = 256
"""Rows that are added one after the other: sums of fewer numbers are rounded less."""


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


@cache
def _parts(dtype: np.dtype) -> int:
    like, size = dtype.type(0), dtype.itemsize

    def parts(given: int, share: int, place: int) -> None:
        x, sums, number, rows, count = words(given + HEAD, 5)
        first, last = bounds(given, share)
        for item in range(first, last):
            sample, part = item // number, item % number
            start, stop = rows * part // number, rows * (part + 1) // number
            source = x + (sample * rows + start) * count * size
            add_rows(like, source, stop - start, count, sums + item * count * size)

    return c_function(parts, 3)


def sum_rows(x: np.ndarray, axis: int | tuple[int, ...] | None, keepdims: bool) -> np.ndarray:
    """Return the sum of x over axes that follow one another, and are not the last."""
    first, end = axes_together(x.shape, axis) or (0, 0)
    lead, rest = x.shape[:first], x.shape[end:]
    out = sum_middle(plain(x).reshape(prod(lead), prod(x.shape[first:end]), prod(rest)))
    return out.reshape(*lead, *(1 for _ in range(first, end) if keepdims), *rest)


def sum_middle(x: np.ndarray) -> np.ndarray:
    """Return the sum over the second of three axes, of an array in C's order."""
    samples, rows, count = x.shape
    parts, out, add = -(-rows // _ROWS), np.empty((samples, count), x.dtype), _parts(x.dtype)
    sums = out if parts == 1 else scratch("sums", (samples, parts, count), x.dtype)
    run(add, samples * parts, x, sums, parts, rows, count, most=4096)
    if parts > 1:
        run(add, samples, sums, out, 1, parts, count, most=4096)
    return out
