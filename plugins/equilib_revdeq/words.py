"""Relaxation in more than the precision of z: in float64, or as the unevaluated sum of two arrays of it."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from equilib.arrays import Array, array_namespace, where_samples

Words: TypeAlias = tuple[Array, ...]
"""A state in float64, shape (batch, ...), and where z is of float64 too what its rounding leaves out."""


def widened(z: Array) -> Words:
    """Return the words of z, shape (batch, ...)."""
    xp = array_namespace(z)
    return (z, xp.zeros_like(z)) if z.dtype == xp.float64 else (xp.astype(z, xp.float64),)


def rounded(state: Words, like: Array) -> Array:
    """Return a state in the dtype of `like`."""
    return array_namespace(like).astype(state[0], like.dtype, copy=False)


def precision(words: int) -> float:
    """Return the rounding of a state of so many words, relative to its size."""
    return float(np.finfo(np.float64).eps) ** words


def relaxed(state: Words, value: Array, share: float) -> Words:
    """Return value + share·(state − value), to the rounding of the last word; with 1/share it is its own inverse.

    `share` is a power of two, so that only sums round. Of two words the errors are kept (Knuth 1969, §4.2.2).
    """
    value = array_namespace(value).astype(value, state[0].dtype, copy=False)
    if len(state) == 1:
        return (value + share * (state[0] - value),)
    distance, error = _sum(state[0], -value)
    total, rest = _sum(value, share * distance)
    rest = rest + share * (error + state[1])
    high = total + rest
    return high, rest - (high - total)


def where_words(mask: np.ndarray, chosen: Words, other: Words) -> Words:
    """Take whole samples from `chosen` where the host mask (batch,) is true, else from `other`."""
    return tuple(where_samples(mask, *pair) for pair in zip(chosen, other, strict=True))


def _sum(a: Array, b: Array) -> Words:
    """Return fl(a + b) and its rounding error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)
