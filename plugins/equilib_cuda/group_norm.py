"""Group normalization and its derivative, a block for each sample's group (Wu & He 2018, eq. 1)."""

from __future__ import annotations

from math import prod
from typing import Any

from equilib_cuda import launches
from equilib_cuda.launches import THREADS, empty, launch, plain
from equilib_cuda.sums import sum_middle

_ROWS = 256
"""Positions of all samples that a block adds up."""


def _sizes(x: Any, groups: int) -> tuple[int, int, int]:
    return prod(x.shape[1:-1]), x.shape[-1], x.shape[-1] // groups


def _given(array: Any) -> Any:
    return None if array is None else plain(array)


def group_norm(x: Any, scale: Any, shift: Any, groups: int, epsilon: float) -> tuple[Any, Any, Any]:
    """Return (x − μ) / √(σ² + ε) · scale + shift, μ, and 1/√(σ² + ε), shape (batch, groups)."""
    out, grid = empty(x.shape, x.dtype), (len(x), groups)
    mean, inverse = (empty(grid, x.dtype) for _ in range(2))
    given = plain(x), _given(scale), _given(shift), out, mean, inverse, *_sizes(x, groups), float(epsilon)
    launch("group_norm", "group_norm", x.dtype, grid, launches.ROW, *given)
    return out, mean, inverse


def group_norm_push(
    v: Any, x: Any, scale: Any, mean: Any, inverse: Any, d_scale: Any, d_shift: Any, groups: int
) -> Any:
    """Return J v for tangents of x, of scale and of shift."""
    return _derived(v, x, scale, mean, inverse, d_scale, d_shift, groups, back=False)


def group_norm_pull(g: Any, x: Any, scale: Any, mean: Any, inverse: Any, groups: int) -> tuple[Any, Any, Any]:
    """Return the cotangents of x, of scale and of shift."""
    positions, channels, wide = _sizes(x, groups)
    rows = len(x) * positions
    parts = -(-rows // _ROWS)
    sums = empty((1, parts, 2 * channels), x.dtype)
    given = plain(g), plain(x), plain(mean), plain(inverse), sums, rows, positions, channels, wide, _ROWS
    launch("group_norm", "group_norm_sums", x.dtype, (-(-channels // 32), parts), THREADS, *given)
    total = sum_middle(sums).reshape(2, channels)
    of_x = _derived(g, x, scale, mean, inverse, None, None, groups, back=True)
    return of_x, total[0].copy(), total[1].copy()


def _derived(
    v: Any, x: Any, scale: Any, mean: Any, inverse: Any, d_scale: Any, d_shift: Any, groups: int, *, back: bool
) -> Any:
    out = empty(x.shape, x.dtype)
    given = plain(v), plain(x), _given(scale), plain(mean), plain(inverse), _given(d_scale), _given(d_shift), out
    sizes = *_sizes(x, groups), int(back)
    launch("group_norm", "group_norm_derive", x.dtype, (len(x), groups), launches.ROW, *given, *sizes)
    return out
