"""Norms and inner products of the samples of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import TypeAlias

import numpy as np

from equilib.arrays.namespaces import Array, array_namespace, to_host, to_host_together
from equilib.arrays.samples import samples_as_rows

Norm: TypeAlias = Callable[[Array], Array]
"""A per-sample norm: an array of shape (batch, ...) to an array of shape (batch,)."""


_USUAL = {
    np.dtype(each): (np.array(np.finfo(each).tiny / np.finfo(each).eps, each), np.array(np.inf, each))
    for each in (np.float32, np.float64)
}
"""Sums of squares, by NumPy's types, between which nothing has overflowed, and what underflowed does not count."""


def dot(one: Array, other: Array) -> Array:
    """Return the inner product of each sample of two arrays (batch, ...), shape (batch,)."""
    return array_namespace(one).vecdot(samples_as_rows(one), samples_as_rows(other))


def two_norm(array: Array) -> Array:
    """Return the Euclidean norm of each sample, shape (batch,); squares neither over- nor underflow."""
    return _root_of_squares(array, 1)


def rms_norm(array: Array) -> Array:
    """Return the root mean square of each sample, shape (batch,): a norm that does not grow with the size."""
    return _root_of_squares(array, _elements(array))


def norms_together(norm: Norm, *arrays: Array) -> np.ndarray:
    """Return the norms of arrays of one shape, dtype and library on the host, float64, in one transfer.

    The shape is (arrays, batch), if `norm` returns one number a sample.
    """
    if type(arrays[0]) is np.ndarray and (norm is two_norm or norm is rms_norm) and arrays[0].dtype in _USUAL:
        return _roots(arrays, 1 if norm is two_norm else _elements(arrays[0])).astype(np.float64, copy=False)
    return np.stack(to_host_together(*map(norm, arrays)))


def _elements(array: Array) -> int:
    return int(prod(array.shape[1:])) or 1


def _roots(arrays: Sequence[np.ndarray], count: int) -> np.ndarray:
    """Return √(Σ x² / count) of each sample of NumPy's arrays, shape (arrays, batch)."""
    # In few calls, as every step of a solve takes norms.
    squares = np.empty((len(arrays), len(arrays[0])), arrays[0].dtype)
    for number, array in enumerate(arrays):
        rows = samples_as_rows(array)
        np.vecdot(rows, rows, out=squares[number])
    least, largest = _USUAL[squares.dtype]
    usual = (squares > least) & (squares < largest)
    norms = np.sqrt(squares) / _root(count, squares.dtype)
    if np.count_nonzero(usual) < usual.size:
        for number, array in enumerate(arrays):
            if np.count_nonzero(usual[number]) < len(array) and np.count_nonzero(array):
                with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                    scaled = _scaled(samples_as_rows(array), count)
                # What becomes of one sample must not change the rounding of the others.
                norms[number] = np.where(usual[number], norms[number], scaled)
    return np.asarray(norms)


@cache
def _root(count: int, dtype: np.dtype) -> np.ndarray:
    return np.array(count**0.5, dtype)  # divides several times faster than a number


def _root_of_squares(array: Array, count: int) -> Array:
    """Return √(Σ x² / count) of each sample, in the dtype of the array, at least float32."""
    rows = samples_as_rows(array)
    if type(rows) is np.ndarray and rows.dtype in _USUAL:
        return _roots((rows,), count)[0]
    xp = array_namespace(array)
    dtype = rows.dtype
    if xp.finfo(dtype).bits < 32:
        rows, dtype = xp.astype(rows, xp.float32), xp.float32
    if dtype == xp.float32:  # whose squares float64 holds
        wide = xp.astype(rows, xp.float64)
        return xp.astype(xp.sqrt(xp.vecdot(wide, wide)) / count**0.5, dtype)
    return _scaled(rows, count)


def _scaled(rows: Array, count: int) -> Array:
    xp = array_namespace(rows)
    if rows.shape[1] == 0:
        return xp.sum(rows, axis=1)
    largest = xp.max(xp.abs(rows), axis=1)
    scale = xp.where((largest > 0) & xp.isfinite(largest), largest, xp.ones_like(largest))
    shares = rows / scale[:, None]
    return scale * (xp.sqrt(xp.vecdot(shares, shares)) / count**0.5)


def max_norm(array: Array) -> Array:
    """Return the largest absolute value of each sample, shape (batch,)."""
    xp = array_namespace(array)
    return xp.max(xp.abs(samples_as_rows(array)), axis=1)


def host_norm(array: Array, norm: Norm = two_norm) -> np.ndarray:
    """Return the norm of each sample on the host, ndarray of float64, shape (batch,); it waits for the device."""
    return to_host(norm(array)).astype(np.float64)
