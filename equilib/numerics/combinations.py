"""Linear combinations of a few arrays, and products of all of them with another, for each sample.

This is what methods do that remember: mixing, secant updates, Krylov spaces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equilib.arrays import Array, array_namespace, coefficients, host_dtype, rows_like, samples_as_rows, weighted_sum
from equilib.kernels import operation

_COPIED = 1 << 15
"""Bytes of arrays that are sooner copied into one than gone through one by one."""


@operation("combined", leading=lambda base, weights, arrays: arrays[0])
def _combined(base: Array | None, weights: Array, arrays: Sequence[Array]) -> Array:
    if type(weights) is np.ndarray and type(arrays[0]) is not np.ndarray:
        weights = coefficients(weights, arrays[0])
    return weighted_sum(base, [rows_like(weights[:, i], array) for i, array in enumerate(arrays)], arrays)


def combined(base: Array | None, weights: Array, arrays: Sequence[Array]) -> Array:
    """Return base + Σ wᵢ aᵢ, of arrays (batch, ...), summed from left to right; no base is zero.

    The weights, shape (batch, len(arrays)), are real numbers on the host, or of the library and dtype of the others.
    Without arrays there is a base.
    """
    if not arrays:
        return base
    if isinstance(weights, np.ndarray):
        weights = weights.astype(host_dtype(arrays[0]), copy=False)
    return _combined(base, weights, arrays)


@operation("overlaps", leading=lambda arrays, x: x)
def overlaps(arrays: Sequence[Array], x: Array) -> Array:
    """Return ⟨aᵢ, x⟩, shape (batch, len(arrays)), of their library and dtype; there is at least one array."""
    other = samples_as_rows(x)
    rows = [samples_as_rows(array) for array in arrays]
    if type(x) is np.ndarray and len(rows) * other.nbytes <= _COPIED:
        return np.vecdot(np.array(rows), other).T
    xp = array_namespace(x)
    return xp.stack([xp.vecdot(row, other) for row in rows], axis=1)
