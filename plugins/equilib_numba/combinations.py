"""Linear combinations of arrays, and inner products of their samples, for methods that remember."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from equilib.kernels import OPERATIONS
from equilib_numba.compiling import compiled, entry, summing
from equilib_numba.memory import address, row, size_of
from equilib_numba.scratch import plain
from equilib_numba.team import share_out, shared, team

_BLOCK = 1 << 12
"""Numbers that are worked on at a time: sums stay in the first cache while the arrays pass by."""


def _addresses(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([each.__array_interface__["data"][0] for each in arrays], np.int64)


@compiled
def _combine(share: int, place: int, shares: int, base: Any, weights: Any, places: Any, out: Any) -> None:
    """Write base + Σ wᵢ aᵢ to a share of the numbers; an empty `base` is none, the weights have (samples or 1, k)."""
    length = out.shape[1]
    like, size = out.dtype.type(0), out.itemsize
    first, last = out.size * share // shares, out.size * (share + 1) // shares
    while first < last:
        sample = first // length
        count = min(last - first, (sample + 1) * length - first, _BLOCK)
        total = row(address(out, first), count, like)
        own = weights[sample if len(weights) > 1 else 0]
        term, weight = row(places[0] + first * size, count, like), own[0]
        if base.size:
            start = row(address(base, first), count, like)
            for k in range(count):
                total[k] = start[k] + weight * term[k]
        else:
            for k in range(count):
                total[k] = weight * term[k]
        for i in range(1, len(places)):
            term, weight = row(places[i] + first * size, count, like), own[i]
            for k in range(count):
                total[k] += weight * term[k]
        first += count


_share_combination = shared(_combine)


@entry
def _combined(board: int, base: Any, weights: Any, places: Any, out: Any) -> None:
    shares = min(-(-out.size // (4 * _BLOCK)), 1024)
    share_out(board, shares, _share_combination((shares, base, weights, places, out)))


def combined(base: np.ndarray | None, weights: np.ndarray, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return base + Σ weights[:, i] aᵢ; weights (batch or 1, len(arrays))."""
    arrays = [plain(each) for each in arrays]
    out = np.empty(arrays[0].shape, arrays[0].dtype)
    rows = out.reshape(len(out), -1)
    start = rows[:0] if base is None else plain(base).reshape(rows.shape)
    _combined(team().board, start, plain(weights), _addresses(arrays), rows)
    return out


def weighted_sum(base: np.ndarray | None, weights: Sequence[float], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return base + Σ wᵢ aᵢ with numbers as weights."""
    return combined(base, np.array([weights], arrays[0].dtype), arrays)


@summing
def inner(like: Any, one: int, other: int, count: int) -> Any:
    """Return the inner product of numbers at two addresses, in parts of limited length."""
    size, total, first = size_of(like), like, 0
    while first < count:
        some = min(_BLOCK, count - first)
        x, y = row(one + first * size, some, like), row(other + first * size, some, like)
        part = like
        for k in range(some):
            part += x[k] * y[k]
        total += part
        first += some
    return total


@compiled
def _overlap(share: int, place: int, places: Any, x: Any, out: Any) -> None:
    """Write ⟨aᵢ, x⟩ of a sample, some numbers of all arrays at a time."""
    length, like, size = x.shape[1], x.dtype.type(0), x.itemsize
    for i in range(len(places)):
        out[share, i] = like
    for first in range(0, length, _BLOCK):
        count, at = min(_BLOCK, length - first), share * length + first
        for i in range(len(places)):
            out[share, i] += inner(like, places[i] + at * size, address(x, at), count)


_share_overlap = shared(_overlap)


@entry
def _overlaps(board: int, places: Any, x: Any, out: Any) -> None:
    for first in range(0, len(x), 4096):
        some, by = min(4096, len(x) - first), first * x.shape[1] * x.itemsize
        share_out(board, some, _share_overlap((places + by, x[first : first + some], out[first : first + some])))


def overlaps(arrays: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return ⟨aᵢ, x⟩ of each sample, shape (batch, len(arrays))."""
    arrays, x = [plain(each) for each in arrays], plain(x)
    out = np.empty((len(x), len(arrays)), x.dtype)
    _overlaps(team().board, _addresses(arrays), x.reshape(len(x), -1), out)
    return out


def dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the inner product of each sample of two arrays, shape (batch,)."""
    return overlaps((one,), other)[:, 0]


@compiled
def _orthogonalize(share: int, place: int, places: Any, product: Any, column: Any, rest: Any) -> None:
    """Take a sample's parts along the basis away, one vector after the other (modified Gram-Schmidt)."""
    length, like = product.shape[1], product.dtype.type(0)
    at = share * length
    source, target = row(address(product, at), length, like), row(address(rest, at), length, like)
    for k in range(length):
        target[k] = source[k]
    for i in range(len(places)):
        place_of = places[i] + at * product.itemsize
        weight = inner(like, place_of, address(rest, at), length)
        column[share, i] = weight
        vector = row(place_of, length, like)
        for k in range(length):
            target[k] -= weight * vector[k]
    column[share, len(places)] = inner(like, address(rest, at), address(rest, at), length)


_share_orthogonalized = shared(_orthogonalize)


@entry
def _orthogonalized(board: int, places: Any, product: Any, column: Any, rest: Any) -> None:
    for first in range(0, len(product), 4096):
        stop, by = min(first + 4096, len(product)), first * product.shape[1] * product.itemsize
        work = _share_orthogonalized((places + by, product[first:stop], column[first:stop], rest[first:stop]))
        share_out(board, stop - first, work)


def orthogonalized(basis: Sequence[np.ndarray], product: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of a product's samples in a basis with the norms of the rest, and the rest.

    The formula does it where the square of a norm is out of the usual range.
    """
    own, product = [plain(each) for each in basis], plain(product)
    column, rest = np.empty((len(product), len(own) + 1), product.dtype), np.empty(product.shape, product.dtype)
    rows = product.reshape(len(product), -1)
    _orthogonalized(team().board, _addresses(own), rows, column, rest.reshape(rows.shape))
    squares = column[:, -1]
    info = np.finfo(product.dtype)
    if not ((squares > info.tiny / info.eps) & (squares < np.inf)).all():
        result: tuple[np.ndarray, np.ndarray] = OPERATIONS["orthogonalized"].formula(basis, product)
        return result
    np.sqrt(squares, out=squares)
    return column, rest
