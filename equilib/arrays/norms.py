"""Norms of the samples of a batch."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TypeAlias

from equilib.arrays.namespaces import Array, array_namespace
from equilib.arrays.samples import samples_as_rows

Norm: TypeAlias = Callable[[Array], Array]
"""A per-sample norm: an array of shape (batch, ...) to an array of shape (batch,)."""


def two_norm(array: Array) -> Array:
    """Return the Euclidean norm of each sample, shape (batch,)."""
    xp = array_namespace(array)
    rows = samples_as_rows(array)
    return xp.sqrt(xp.vecdot(rows, rows))


def rms_norm(array: Array) -> Array:
    """Return the root mean square of each sample, shape (batch,): a norm that does not grow with the size."""
    return two_norm(array) / max(prod(array.shape[1:]), 1) ** 0.5


def max_norm(array: Array) -> Array:
    """Return the largest absolute value of each sample, shape (batch,)."""
    xp = array_namespace(array)
    return xp.max(xp.abs(samples_as_rows(array)), axis=1)
