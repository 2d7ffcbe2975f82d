"""Relaxation in twice the precision: a state is the unevaluated sum of two arrays of its dtype."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from equilib.arrays import Array, where_samples

Pair: TypeAlias = tuple[Array, Array]
"""A state, rounded, and what that leaves out, both of shape (batch, ...)."""


def relaxed(state: Pair, value: Array, share: float) -> Pair:
    """Return value + share·(state − value); with 1/share it is its own inverse, to the rounding of the second word.

    `share` is a power of two, so that only sums round, and their errors are kept (Knuth 1969, §4.2.2; Dekker 1971).
    """
    distance, error = _sum(state[0], -value)
    total, rest = _sum(value, share * distance)
    rest = rest + share * (error + state[1])
    rounded = total + rest
    return rounded, rest - (rounded - total)


def where_pairs(mask: np.ndarray, chosen: Pair, other: Pair) -> Pair:
    """Take whole samples from `chosen` where the host mask (batch,) is true, else from `other`."""
    return where_samples(mask, chosen[0], other[0]), where_samples(mask, chosen[1], other[1])


def _sum(a: Array, b: Array) -> Pair:
    """Return fl(a + b) and its rounding error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)
