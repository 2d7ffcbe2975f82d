"""Linear combinations of arrays, and inner products of their samples, for methods that remember."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equilib.kernels import OPERATIONS
from equilib_numba.scratch import plain
from equilib_numba.team import place_of, run

BLOCK = 1 << 12
"""Numbers that are worked on at a time: sums stay in the first cache while the arrays pass by."""


def _addresses(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([place_of(each) for each in arrays], np.int64)


def combined(base: np.ndarray | None, weights: np.ndarray, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return base + Σ weights[:, i] aᵢ; weights (batch or 1, len(arrays))."""
    own = [plain(each) for each in arrays]
    out, weights = np.empty(own[0].shape, own[0].dtype), plain(weights)
    step = weights.strides[0] if len(weights) > 1 else 0
    given = (None if base is None else plain(base), weights, _addresses(own), out)
    blocks, length = -(-out.size // BLOCK), out.size // len(out)
    run("combinations.combine", out.dtype, blocks, *given, len(own), length, out.size, step, most=1024)
    return out


def weighted_sum(base: np.ndarray | None, weights: Sequence[float], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return base + Σ wᵢ aᵢ with numbers as weights."""
    return combined(base, np.array([weights], arrays[0].dtype), arrays)


def overlaps(arrays: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return ⟨aᵢ, x⟩ of each sample, shape (batch, len(arrays))."""
    own, x = [plain(each) for each in arrays], plain(x)
    out = np.empty((len(x), len(own)), x.dtype)
    run("combinations.overlap", x.dtype, len(x), _addresses(own), x, out, len(own), x.size // len(x), most=4096)
    return out


def dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the inner product of each sample of two arrays, shape (batch,)."""
    return overlaps((one,), other)[:, 0]


def orthogonalized(basis: Sequence[np.ndarray], product: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of a product's samples in a basis with the norms of the rest, and the rest.

    The formula does it where the square of a norm is out of the usual range.
    """
    own, x = [plain(each) for each in basis], plain(product)
    column, rest = np.empty((len(x), len(own) + 1), x.dtype), np.empty(x.shape, x.dtype)
    given = (_addresses(own), x, column, rest, len(own), x.size // len(x))
    run("combinations.orthogonalize", x.dtype, len(x), *given, most=4096)
    squares, info = column[:, -1], np.finfo(x.dtype)
    if not ((squares > info.tiny / info.eps) & (squares < np.inf)).all():
        result: tuple[np.ndarray, np.ndarray] = OPERATIONS["orthogonalized"].formula(basis, product)
        return result
    np.sqrt(squares, out=squares)
    return column, rest
