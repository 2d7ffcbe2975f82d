"""Norms and inner products of the samples of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeAlias

import numpy as np

from equilib.arrays.namespaces import Array, Namespace, array_namespace, to_host, to_host_together
from equilib.arrays.samples import coefficients, rows_like, samples_as_rows
from equilib.kernels import operation

Norm: TypeAlias = Callable[[Array], Array]
"""A per-sample norm: an array of shape (batch, ...) to an array of shape (batch,)."""


USUAL = {
    np.dtype(each): (np.array(np.finfo(each).tiny / np.finfo(each).eps, each), np.array(np.inf, each))
    for each in (np.float32, np.float64)
}
"""Sums of squares, by NumPy's types, between which nothing has overflowed, and what underflowed does not count."""

_SAFE = {
    np.dtype(each): (np.array(2 * float(np.finfo(each).tiny) ** 0.25), np.array(float(np.finfo(each).max) ** 0.25 / 2))
    for each in (np.float32, np.float64)
}
"""Norms, by NumPy's types, between which squares of squares stay in range."""


SMALL = 512
"""Numbers of a matrix below which NumPy takes its norms: to ask for a kernel costs as much."""


@operation("dot")
def dot(one: Array, other: Array) -> Array:
    """Return the inner product of each sample of two arrays (batch, ...), shape (batch,), at least float32."""
    if type(one) is np.ndarray and one.dtype in USUAL:
        return np.vecdot(samples_as_rows(one), samples_as_rows(other))
    xp = array_namespace(one)
    return xp.vecdot(in_single(samples_as_rows(one)), in_single(samples_as_rows(other)))


def in_single(array: Array) -> Array:
    """Return an array of any shape in half precision in single, whose range its sums of squares need; others as is."""
    if type(array) is np.ndarray and array.dtype in USUAL:
        return array
    xp = array_namespace(array)
    return xp.astype(array, xp.float32) if xp.finfo(array.dtype).bits < 32 else array


def units(norm: np.ndarray, like: Array) -> np.ndarray | None:
    """Return powers of two near the norms, shape (batch,), of arrays whose squares might leave the range of a dtype.

    1 for samples in no danger, None where no sample is. To divide by them rounds nothing.
    """
    if type(like) is np.ndarray and like.dtype in _SAFE:
        low, high = _SAFE[like.dtype]
        if np.count_nonzero((norm > low) & (norm < high)) == norm.size:
            return None
    info = array_namespace(like).finfo(like.dtype)
    least, most = (np.log2(float(each)) for each in (info.smallest_normal, info.max))
    exponent = np.rint(np.log2(np.where((norm > 0) & np.isfinite(norm), norm, 1.0)))
    extreme = (exponent < least / 4) | (exponent > most / 4)
    if info.bits < 32 or not np.count_nonzero(extreme):
        return None
    return np.asarray(2.0 ** np.where(extreme, np.clip(exponent, least + 2, most - 2), 0.0))


def scaled(array: Array, factor: np.ndarray | None) -> Array:
    """Return each sample of an array (batch, ...) times its factor, shape (batch,); None is 1."""
    return array if factor is None else rows_like(coefficients(factor, array), array) * array


def two_norm(array: Array) -> Array:
    """Return the Euclidean norm of each sample, shape (batch,); squares neither over- nor underflow."""
    return _norms((array,), mean=False)[0, ...]


def rms_norm(array: Array) -> Array:
    """Return the root mean square of each sample, shape (batch,): a norm that does not grow with the size."""
    return _norms((array,), mean=True)[0, ...]


def norms_together(norm: Norm, *arrays: Array) -> np.ndarray:
    """Return the norms of arrays of one shape, dtype and library on the host, float64, in one transfer.

    The shape is (arrays, batch), if `norm` returns one number a sample.
    """
    if norm is two_norm or norm is rms_norm:
        return to_host(_norms(arrays, mean=norm is rms_norm)).astype(np.float64, copy=False)
    return np.stack(to_host_together(*map(norm, arrays)))


def two_norms(*arrays: Array) -> np.ndarray:
    """Return the Euclidean norms of arrays of one shape, dtype and library on the host, in one transfer.

    The shape is (arrays, batch), the dtype that of the arrays, at least float32.
    """
    return to_host(_norms(arrays, mean=False))


def _norms(arrays: Sequence[Array], *, mean: bool) -> Array:
    """Return √Σ x² of each sample, or the root of the mean, shape (arrays, batch), at least in float32."""
    if type(arrays[0]) is np.ndarray and arrays[0].dtype in USUAL:
        return _roots([samples_as_rows(array) for array in arrays], mean=mean)
    return _roots_of_squares([samples_as_rows(array) for array in arrays], mean)


def _roots(matrices: Sequence[np.ndarray], *, mean: bool) -> np.ndarray:
    """Return √Σ x² of the rows of NumPy's matrices, or the root of the mean, shape (matrices, batch)."""
    # In few calls, as every step of a solve takes norms.
    first = matrices[0]
    squares = np.empty((len(matrices), len(first)), first.dtype)
    product = np.vecdot if first.size < SMALL else dot
    for number, rows in enumerate(matrices):
        squares[number] = product(rows, rows)
    least, largest = USUAL[first.dtype]
    usual = (squares > least) & (squares < largest)
    norms = np.sqrt(squares)
    count = (first.shape[1] or 1) if mean else 1
    if count > 1:
        norms /= _root(count, first.dtype)
    if np.count_nonzero(usual) < usual.size:
        for number, rows in enumerate(matrices):
            if np.count_nonzero(usual[number]) < len(rows) and rows.any():
                with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                    scaled = _scaled(rows, count)
                # What becomes of one sample must not change the rounding of the others.
                norms[number] = np.where(usual[number], norms[number], scaled)
    return norms


@cache
def _root(count: int, dtype: np.dtype) -> np.ndarray:
    return np.array(count**0.5, dtype)  # divides several times faster than a number


@operation("norms", leading=lambda matrices, mean: matrices[0])
def _roots_of_squares(matrices: Sequence[Array], mean: bool) -> Array:  # noqa: FBT001  by position
    """Return √Σ x² of the rows of matrices, or the root of the mean, shape (matrices, batch), at least in float32."""
    xp, norms = array_namespace(*matrices), [_root_of_squares(rows, mean=mean) for rows in matrices]
    return xp.stack(norms) if len(norms) > 1 else xp.expand_dims(norms[0], axis=0)


def _root_of_squares(rows: Array, *, mean: bool) -> Array:
    count = (rows.shape[1] or 1) if mean else 1
    xp, rows = array_namespace(rows), in_single(rows)
    dtype = rows.dtype
    if dtype == xp.float32 and _knows_double(xp, rows):  # which holds the squares
        wide = xp.astype(rows, xp.float64)
        return xp.astype(xp.sqrt(xp.vecdot(wide, wide)) / count**0.5, dtype)
    return _scaled(rows, count)


def _knows_double(xp: Namespace, array: Array) -> bool:
    """Tell whether there are numbers of double precision beside an array: some devices have none, JAX a switch."""
    switched_off = xp.__name__ == "jax.numpy" and xp.result_type(float) == xp.float32
    return not switched_off and "mps" not in str(getattr(array, "device", ""))


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
