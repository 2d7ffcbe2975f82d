"""Linear combinations of arrays, and inner products of their samples, for methods that remember."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib_numba.code.compiling import summing
from equilib_numba.code.memory import row, size_of, words
from equilib_numba.code.team import bounds
from equilib_numba.combinations import BLOCK
from equilib_numba.records import HEAD

_WORD = np.int64(0)


def combine(dtype: np.dtype) -> Any:
    """Return the function base + Σ wᵢ aᵢ of shares of blocks; the weights have a row for each sample, or one."""
    like, size = dtype.type(0), dtype.itemsize

    def combine(given: int, share: int, place: int) -> None:
        base, weights, places, out, number, length, count, step = words(given + HEAD, 8)
        own = row(places, number, _WORD)
        blocks = bounds(given, share)
        first, last = blocks[0] * BLOCK, min(blocks[1] * BLOCK, count)
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

    return combine


@summing
def _inner(like: Any, one: int, other: int, count: int) -> Any:
    """Return the inner product of numbers at two addresses, in parts of limited length."""
    size, total, first = size_of(like), like, 0
    while first < count:
        some = min(BLOCK, count - first)
        x, y = row(one + first * size, some, like), row(other + first * size, some, like)
        part = like
        for k in range(some):
            part += x[k] * y[k]
        total += part
        first += some
    return total


def overlap(dtype: np.dtype) -> Any:
    """Return the function ⟨aᵢ, x⟩ of shares of the samples, some numbers of all arrays at a time."""
    like, size = dtype.type(0), dtype.itemsize

    def overlap(given: int, share: int, place: int) -> None:
        places, x, out, number, length = words(given + HEAD, 5)
        own, samples = row(places, number, _WORD), bounds(given, share)
        for sample in range(samples[0], samples[1]):
            found = row(out + sample * number * size, number, like)
            for i in range(number):
                found[i] = like
            for first in range(0, length, BLOCK):
                by = (sample * length + first) * size
                for i in range(number):
                    found[i] += _inner(like, own[i] + by, x + by, min(BLOCK, length - first))

    return overlap


def orthogonalize(dtype: np.dtype) -> Any:
    """Return the function of modified Gram-Schmidt of shares of the samples; the rest's squared norm comes last."""
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

    return orthogonalize
