"""Sums of rows."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from equilib_numba.axes import run
from equilib_numba.compiling import compiled, entry
from equilib_numba.memory import address, row
from equilib_numba.scratch import plain, scratch
from equilib_numba.team import share_out, shared, team

_ROWS = 256
"""Rows that are added one after the other: sums of fewer numbers are rounded less."""


@compiled
def add_rows(like: Any, source: int, rows: int, count: int, target: Any) -> None:
    """Set `count` numbers to the sums of rows of as many numbers at an address."""
    whole = row(source, rows * count, like)
    for k in range(count):
        target[k] = like
    r = 0
    while r + 4 <= rows:
        a, b = whole[r * count : (r + 1) * count], whole[(r + 1) * count : (r + 2) * count]
        c, d = whole[(r + 2) * count : (r + 3) * count], whole[(r + 3) * count : (r + 4) * count]
        for k in range(count):
            target[k] += (a[k] + b[k]) + (c[k] + d[k])
        r += 4
    for last in range(r, rows):
        a = whole[last * count : (last + 1) * count]
        for k in range(count):
            target[k] += a[k]


@compiled
def _compute(share: int, place: int, x: Any, parts: int, sums: Any) -> None:
    """Add up one part of the rows of one sample."""
    sample, part = share // parts, share % parts
    _, rows, count = x.shape
    first, last = rows * part // parts, rows * (part + 1) // parts
    source = address(x, (sample * rows + first) * count)
    add_rows(x.dtype.type(0), source, last - first, count, sums[sample, part])


_share = shared(_compute)


@entry
def _sum_rows(board: int, x: Any, sums: Any, out: Any) -> None:
    samples, parts, count = sums.shape
    like = x.dtype.type(0)
    first = 0
    while first < samples:  # a board takes so many shares at a time
        some = min(samples - first, max(1, 4096 // parts))
        share_out(board, some * parts, _share((x[first : first + some], parts, sums[first : first + some])))
        first += some
    for sample in range(samples):
        add_rows(like, address(sums, sample * parts * count), parts, count, out[sample])


def sum_rows(x: np.ndarray, axis: int | tuple[int, ...] | None, keepdims: bool) -> np.ndarray:
    """Return the sum of x over axes that follow one another, and are not the last."""
    first, end = run(x.shape, axis) or (0, 0)
    lead, rest = x.shape[:first], x.shape[end:]
    x = plain(x).reshape(prod(lead), -1, prod(rest))
    parts = -(-x.shape[1] // _ROWS)
    sums, out = scratch("sums", (len(x), parts, x.shape[2]), x.dtype), np.empty((len(x), x.shape[2]), x.dtype)
    _sum_rows(team().board, x, sums, out)
    return out.reshape(*lead, *(1 for _ in range(first, end) if keepdims), *rest)
