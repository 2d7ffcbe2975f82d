"""Linear combinations of arrays, and inner products of their samples, each in one launch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from equilib_cuda import launches
from equilib_cuda.launches import NUMBERS, blocks, empty, launch, on_device, plain


def combined(base: Any, weights: Any, arrays: Sequence[Any]) -> Any:
    """Return base + Σ weights[:, i] aᵢ; weights (batch or 1, len(arrays)) on the host go along with the launch."""
    own = [plain(each) for each in arrays]
    out = empty(own[0].shape, own[0].dtype)
    numbers, memory = np.zeros(NUMBERS // out.itemsize, out.dtype), None
    if not isinstance(weights, np.ndarray) or weights.nbytes > NUMBERS:
        memory = plain(on_device(weights))
    else:
        numbers[: weights.size] = weights.reshape(-1)
    given = None if base is None else plain(base), own, numbers, memory, out
    sizes = len(own), len(weights), out.size // len(out), out.size
    launch("combinations", "combine", out.dtype, blocks(out.size), launches.THREADS, *given, *sizes)
    return out


def weighted_sum(base: Any, weights: Sequence[float], arrays: Sequence[Any]) -> Any:
    """Return base + Σ wᵢ aᵢ with numbers as weights."""
    return combined(base, np.array([weights], arrays[0].dtype), arrays)


def overlaps(arrays: Sequence[Any], x: Any) -> Any:
    """Return ⟨aᵢ, x⟩ of each sample, shape (batch, len(arrays))."""
    own, x = [plain(each) for each in arrays], plain(x)
    out = empty((len(x), len(own)), x.dtype)
    launch(
        "combinations", "overlap", x.dtype, (len(x), len(own)), launches.ROW, own, x, out, len(own), x.size // len(x)
    )
    return out


def dot(one: Any, other: Any) -> Any:
    """Return the inner product of each sample of two arrays, shape (batch,)."""
    return overlaps((one,), other)[:, 0]


def orthogonalized(basis: Sequence[Any], product: Any) -> tuple[Any, Any]:
    """Return the coefficients of a product's samples in a basis with the norms of the rest, and the rest."""
    own, x = [plain(each) for each in basis], plain(product)
    column, rest = empty((len(x), len(own) + 1), x.dtype), empty(x.shape, x.dtype)
    given = own, x, rest, column, len(own), x.size // len(x)
    launch("combinations", "orthogonalize", x.dtype, (len(x),), launches.ROW, *given)
    return column, rest
