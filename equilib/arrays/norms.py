"""Norms and inner products of the samples of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
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
    return _root_of_squares(array, mean=False)


def rms_norm(array: Array) -> Array:
    """Return the root mean square of each sample, shape (batch,): a norm that does not grow with the size."""
    return _root_of_squares(array, mean=True)


def norms_together(norm: Norm, *arrays: Array) -> np.ndarray:
    """Return the norms of arrays of one shape, dtype and library on the host, float64, in one transfer.

    The shape is (arrays, batch), if `norm` returns one number a sample.
    """
    if type(arrays[0]) is np.ndarray and (norm is two_norm or norm is rms_norm) and arrays[0].dtype in _USUAL:
        norms = _roots([samples_as_rows(array) for array in arrays], mean=norm is rms_norm)
        return norms.astype(np.float64, copy=False)
    return np.stack(to_host_together(*map(norm, arrays)))


def _roots(matrices: Sequence[np.ndarray], *, mean: bool) -> np.ndarray:
    """Return √Σ x² of the rows of NumPy's matrices, or the root of the mean, shape (matrices, batch)."""
    # In few calls, as every step of a solve takes norms.
    first = matrices[0]
    squares = np.empty((len(matrices), len(first)), first.dtype)
    for number, rows in enumerate(matrices):
        np.vecdot(rows, rows, out=squares[number])
    least, largest = _USUAL[first.dtype]
    usual = (squares > least) & (squares < largest)
    norms = np.sqrt(squares)
    count = (first.shape[1] or 1) if mean else 1
    if count > 1:
        norms /= _root(count, first.dtype)
    if np.count_nonzero(usual) < usual.size:
        for number, rows in enumerate(matrices):
            if np.count_nonzero(usual[number]) < len(rows) and np.count_nonzero(rows):
                with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                    scaled = _scaled(rows, count)
                # What becomes of one sample must not change the rounding of the others.
                norms[number] = np.where(usual[number], norms[number], scaled)
    return norms


@cache
def _root(count: int, dtype: np.dtype) -> np.ndarray:
    return np.array(count**0.5, dtype)  # divides several times faster than a number


def _root_of_squares(array: Array, *, mean: bool) -> Array:
    """Return √Σ x² of each sample, or the root of the mean, in the dtype of the array, at least float32."""
    rows = samples_as_rows(array)
    if type(rows) is np.ndarray and rows.dtype in _USUAL:
        return _roots((rows,), mean=mean)[0]
    count = (rows.shape[1] or 1) if mean else 1
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
