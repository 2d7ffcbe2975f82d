"""Sums of rows."""

from __future__ import annotations

from math import prod

import numpy as np

from equilib.kernels.shapes import axes_together
from equilib_numba.scratch import plain, scratch
from equilib_numba.team import run

_ROWS = 256
"""Rows that are added one after the other: sums of fewer numbers are rounded less."""


def sum_rows(x: np.ndarray, axis: int | tuple[int, ...] | None, keepdims: bool) -> np.ndarray:
    """Return the sum of x over axes that follow one another, and are not the last."""
    first, end = axes_together(x.shape, axis) or (0, 0)
    lead, rest = x.shape[:first], x.shape[end:]
    out = sum_middle(plain(x).reshape(prod(lead), prod(x.shape[first:end]), prod(rest)))
    return out.reshape(*lead, *(1 for _ in range(first, end) if keepdims), *rest)


def sum_middle(x: np.ndarray) -> np.ndarray:
    """Return the sum over the second of three axes, of an array in C's order."""
    samples, rows, count = x.shape
    parts, out = -(-rows // _ROWS), np.empty((samples, count), x.dtype)
    sums = out if parts == 1 else scratch("sums", (samples, parts, count), x.dtype)
    run("sums.add", x.dtype, samples * parts, x, sums, parts, rows, count, most=4096)
    if parts > 1:
        run("sums.add", x.dtype, samples, sums, out, 1, parts, count, most=4096)
    return out
