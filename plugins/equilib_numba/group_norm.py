"""Group normalization and its derivative, a sample at a time (Wu & He 2018, eq. 1).

A sample is gone through two or three times, while a core's cache holds it.
"""

from __future__ import annotations

from math import prod

import numpy as np

from equilib.kernels import OPERATIONS
from equilib_numba.scratch import plain, scratch
from equilib_numba.sums import sum_middle
from equilib_numba.team import run, team


def _sizes(x: np.ndarray, groups: int) -> tuple[int, int, int]:
    return prod(x.shape[1:-1]), x.shape[-1], groups


def _given(vector: np.ndarray | None) -> np.ndarray | None:
    return None if vector is None else plain(vector)


def group_norm(
    x: np.ndarray, scale: np.ndarray | None, shift: np.ndarray | None, groups: int, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (x − μ) / √(σ² + ε) · scale + shift, μ, and 1/√(σ² + ε), shape (batch, groups)."""
    x, out = plain(x), np.empty(x.shape, x.dtype)
    means, inverses = (np.empty((len(x), groups), x.dtype) for _ in range(2))
    memory = scratch("own", (team().count, 2, x.shape[-1]), x.dtype)
    run(
        "group_norm.normalize", x.dtype, len(x), x, _given(scale), _given(shift), np.array(epsilon, x.dtype), out,
        means, inverses, memory, *_sizes(x, groups), most=4096,
    )  # fmt: skip
    return out, means, inverses


def group_norm_push(
    v: np.ndarray, x: np.ndarray, scale: np.ndarray | None, mean: np.ndarray, inverse: np.ndarray,
    d_scale: np.ndarray | None, d_shift: np.ndarray | None, groups: int,
) -> np.ndarray:  # fmt: skip
    """Return J v for tangents of x, of scale and of shift."""
    return _derived(v, x, scale, mean, inverse, groups, _given(d_scale), _given(d_shift), None, None)


def group_norm_pull(
    g: np.ndarray, x: np.ndarray, scale: np.ndarray | None, mean: np.ndarray, inverse: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the cotangents of x, of scale and of shift."""
    if scale is not None and not np.isfinite(scale).all():  # Σ g · scale is not scale · Σ g
        result: tuple[np.ndarray, np.ndarray, np.ndarray] = OPERATIONS["group_norm_pull"].formula(
            g, x, scale, mean, inverse, groups
        )
        return result
    sums, products = np.empty((2, len(x), x.shape[-1]), x.dtype)
    of_x = _derived(g, x, scale, mean, inverse, groups, None, None, sums, products)
    return of_x, sum_middle(products[None])[0], sum_middle(sums[None])[0]


def _derived(
    v: np.ndarray, x: np.ndarray, scale: np.ndarray | None, mean: np.ndarray, inverse: np.ndarray, groups: int,
    *extra: np.ndarray | None,
) -> np.ndarray:  # fmt: skip
    v, x, out = plain(v), plain(x), np.empty(x.shape, x.dtype)
    memory = scratch("own", (team().count, 7, x.shape[-1]), x.dtype)
    run(
        "group_norm.derive", x.dtype, len(x), v, x, _given(scale), plain(mean), plain(inverse), *extra[:2], out,
        *extra[2:], memory, *_sizes(x, groups), most=4096,
    )  # fmt: skip
    return out
