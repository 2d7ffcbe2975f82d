"""Sums of rows."""

from __future__ import annotations

from math import prod
from typing import Any

from equilib.kernels.shapes import axes_together
from equilib_cuda.launches import THREADS, empty, launch, plain

_ROWS = 256
"""Rows that a block adds up."""


def sum_rows(x: Any, axis: int | tuple[int, ...] | None, keepdims: bool) -> Any:
    """Return the sum of x over axes that follow one another, and are not the last."""
    first, end = axes_together(x.shape, axis) or (0, 0)
    lead, rest = x.shape[:first], x.shape[end:]
    out = sum_middle(plain(x).reshape(prod(lead), prod(x.shape[first:end]), prod(rest)))
    return out.reshape(*lead, *(1 for _ in range(first, end) if keepdims), *rest)


def sum_middle(x: Any) -> Any:
    """Return the sum over the second of three axes, of an array in C's order."""
    leads, rows, columns = x.shape
    parts = -(-rows // _ROWS)
    out = empty((leads, parts, columns), x.dtype)
    grid = -(-columns // 32), parts, leads
    launch("sums", "sum_rows", x.dtype, grid, THREADS, x, out, rows, columns, _ROWS)
    return out.reshape(leads, columns) if parts == 1 else sum_middle(out)
