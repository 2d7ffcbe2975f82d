"""Linear combinations of arrays, and inner products of their samples, for methods that remember."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from equilib.kernels import OPERATIONS
from equilib_numba.compiling import c_function, summing
from equilib_numba.memory import row, size_of, words
from equilib_numba.scratch import plain
from equilib_numba.team import HEAD, bounds, place_of, run

_BLOCK = 1 << 12
"""Numbers that are worked on at a time: sums stay in the first cache while the arrays pass by."""

_WORD = np.int64(0)


def _addresses(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([place_of(each) for each in arrays], np.int64)


@cache
def _combine(dtype: np.dtype) -> int:
    """Return the address of base + Σ wᵢ aᵢ for shares of blocks; the weights have a row for each sample, or one."""
    like, size = dtype.type(0), dtype.itemsize

    def combine(given: int, share: int, place: int) -> None:
        base, weights, places, out, number, length, count, step = words(given + HEAD, 8)
        own = row(places, number, _WORD)
        blocks = bounds(given, share)
        first, last = blocks[0] * _BLOCK, min(blocks[1] * _BLOCK, count)
        while first < last:
            sample = first // length
            some = min(last - first, (sample + 1) * length - first)
            total, factors = row(out + first * size, some, like), row(weights + sample * step, number, like)
            term, factor = row(own[0] + first * size, some, like), factors[0]
            if base:
                start = row(base + first * size, some, like)
                for k in range(some):
                    total[k] = start[k] + factor * term[k]
            else:
                for k in range(some):
                    total[k] = factor * term[k]
            for i in range(1, number):
                term, factor = row(own[i] + first * size, some, like), factors[i]
                for k in range(some):
                    total[k] += factor * term[k]
            first += some

    return c_function(combine, 3)


def combined(base: np.ndarray | None, weights: np.ndarray, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return base + Σ weights[:, i] aᵢ; weights (batch or 1, len(arrays))."""
    own = [plain(each) for each in arrays]
    out, weights = np.empty(own[0].shape, own[0].dtype), plain(weights)
    step = weights.strides[0] if len(weights) > 1 else 0
    given = (None if base is None else plain(base), weights, _addresses(own), out)
    blocks, length = -(-out.size // _BLOCK), out.size // len(out)
    run(_combine(out.dtype), blocks, *given, len(own), length, out.size, step, most=1024)
    return out


def weighted_sum(base: np.ndarray | None, weights: Sequence[float], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return base + Σ wᵢ aᵢ with numbers as weights."""
    return combined(base, np.array([weights], arrays[0].dtype), arrays)


@summing
def _inner(like: Any, one: int, other: int, count: int) -> Any:
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


@cache
def _overlap(dtype: np.dtype) -> int:
    """Return the address of ⟨aᵢ, x⟩ for shares of the samples, some numbers of all arrays at a time."""
    like, size = dtype.type(0), dtype.itemsize

    def overlap(given: int, share: int, place: int) -> None:
        places, x, out, number, length = words(given + HEAD, 5)
        own, samples = row(places, number, _WORD), bounds(given, share)
        for sample in range(samples[0], samples[1]):
            found = row(out + sample * number * size, number, like)
            for i in range(number):
                found[i] = like
            for first in range(0, length, _BLOCK):
                by = (sample * length + first) * size
                for i in range(number):
                    found[i] += _inner(like, own[i] + by, x + by, min(_BLOCK, length - first))

    return c_function(overlap, 3)


def overlaps(arrays: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return ⟨aᵢ, x⟩ of each sample, shape (batch, len(arrays))."""
    own, x = [plain(each) for each in arrays], plain(x)
    out = np.empty((len(x), len(own)), x.dtype)
    run(_overlap(x.dtype), len(x), _addresses(own), x, out, len(own), x.size // len(x), most=4096)
    return out


def dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the inner product of each sample of two arrays, shape (batch,)."""
    return overlaps((one,), other)[:, 0]


@cache
def _orthogonalize(dtype: np.dtype) -> int:
    """Return the address of modified Gram-Schmidt for shares of the samples; the rest's squared norm comes last."""
    like, size = dtype.type(0), dtype.itemsize

    def orthogonalize(given: int, share: int, place: int) -> None:
        places, product, column, rest, number, length = words(given + HEAD, 6)
        own, samples = row(places, number, _WORD), bounds(given, share)
        for sample in range(samples[0], samples[1]):
            by = sample * length * size
            source, target = row(product + by, length, like), row(rest + by, length, like)
            found = row(column + sample * (number + 1) * size, number + 1, like)
            for k in range(length):
                target[k] = source[k]
            for i in range(number):
                factor, vector = _inner(like, own[i] + by, rest + by, length), row(own[i] + by, length, like)
                found[i] = factor
                for k in range(length):
                    target[k] -= factor * vector[k]
            found[number] = _inner(like, rest + by, rest + by, length)

    return c_function(orthogonalize, 3)


def orthogonalized(basis: Sequence[np.ndarray], product: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of a product's samples in a basis with the norms of the rest, and the rest.

    The formula does it where the square of a norm is out of the usual range.
    """
    own, x = [plain(each) for each in basis], plain(product)
    column, rest = np.empty((len(x), len(own) + 1), x.dtype), np.empty(x.shape, x.dtype)
    given = (_addresses(own), x, column, rest, len(own), x.size // len(x))
    run(_orthogonalize(x.dtype), len(x), *given, most=4096)
    squares, info = column[:, -1], np.finfo(x.dtype)
    if not ((squares > info.tiny / info.eps) & (squares < np.inf)).all():
        result: tuple[np.ndarray, np.ndarray] = OPERATIONS["orthogonalized"].formula(basis, product)
        return result
    np.sqrt(squares, out=squares)
    return column, rest
