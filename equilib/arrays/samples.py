"""Samples of a batch: rows, selections, weighted sums."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from equilib.arrays.namespaces import _NUMPY, Array, array_namespace, from_host, host_dtype, of_one_kind
from equilib.kernels import operation


def samples_as_rows(array: Array) -> Array:
    """Reshape (batch, ...) to (batch, size of one sample)."""
    if array.ndim == 2:
        return array
    shape = (array.shape[0], prod(array.shape[1:]))
    return array.reshape(shape) if type(array) is np.ndarray else array_namespace(array).reshape(array, shape)


def rows_like(vector: Array, array: Array) -> Array:
    """Reshape (batch,) to (batch, 1, ..., 1), so that it broadcasts against `array` sample by sample."""
    shape = (vector.shape[0],) + (1,) * (array.ndim - 1)
    return vector.reshape(shape) if type(vector) is np.ndarray else array_namespace(vector).reshape(vector, shape)


def where_samples(mask: np.ndarray, chosen: Array, other: Array) -> Array:
    """Take whole samples from `chosen` where the host mask (batch,) is true, else from `other`.

    Selecting, never multiplying by a mask: 0 · NaN is NaN.
    """
    count = np.count_nonzero(mask)
    if count == len(mask):
        return chosen
    if not count:
        return other
    if type(chosen) is np.ndarray is type(other) and (chosen.dtype, chosen.shape) == (other.dtype, other.shape):
        rest = np.flatnonzero(~mask)
        return put_rows(chosen, other[rest], rest)  # a third of the time of the general way
    xp = array_namespace(chosen, other)
    return xp.where(rows_like(from_host(mask, chosen), chosen), chosen, other)


def only_samples(mask: np.ndarray, array: Array) -> Array:
    """Return an array, shape (batch, ...), with zeros for the samples where the host mask (batch,) is false."""
    if np.count_nonzero(mask) == len(mask):
        return array
    return where_samples(mask, array, array_namespace(array).zeros_like(array))


def take_rows(array: Array, rows: np.ndarray) -> Array:
    """Return the samples `rows`, an ndarray of int on the host, of an array (batch, ...), in that order."""
    return array_namespace(array).take(array, from_host(rows, array), axis=0)


def put_rows(whole: Array, part: Array, rows: np.ndarray) -> Array:
    """Return `whole`, shape (batch, ...), with `part` in the places `rows`, all different: `take_rows` reversed."""
    xp = array_namespace(whole, part)
    if type(whole) is np.ndarray and whole.dtype == part.dtype:
        placed = whole.copy()  # passes over memory that the general way makes three times
        placed[rows] = part
        return placed
    order = np.arange(whole.shape[0])
    order[rows] = whole.shape[0] + np.arange(len(rows))
    return xp.take(xp.concat((whole, part), axis=0), from_host(order, whole), axis=0)


def set_at(whole: Array, index: Any, part: Array) -> Array:
    """Return `whole`, of any shape, with `part` at a basic index: itself, unless the arrays never change, as JAX's."""
    if hasattr(whole, "at"):
        return whole.at[index].set(part)
    whole[index] = part
    return whole


def add_at(whole: Array, index: Any, part: Array) -> Array:
    """Return `whole`, of any shape, with `part` added at a basic index, as `set_at` does."""
    if hasattr(whole, "at"):
        return whole.at[index].add(part)
    whole[index] += part
    return whole


@operation("weighted_sum", leading=lambda base, weights, arrays: arrays[0] if arrays else base)
def weighted_sum(base: Array | None, weights: Sequence[float | Array], arrays: Sequence[Array]) -> Array:
    """Return base + Σ wᵢ aᵢ, from left to right, for arrays of one shape and dtype.

    The weights are numbers, or arrays of that dtype that broadcast against the others.
    """
    total, owned = base, False
    for weight, array in zip(weights, arrays, strict=True):
        term = array * weight
        if owned:
            total += term
        else:
            total = term if total is None else total + term
            owned = type(total) is np.ndarray  # made here, so that it may be changed
    return total


def coefficients(host: np.ndarray, like: Array) -> Array:
    """Copy real numbers of any shape from the host to the library, device and dtype of `like`."""
    if isinstance(like, _NUMPY):
        return host.astype(like.dtype)
    there = from_host(host.astype(host_dtype(like), copy=False), like)  # not all devices know float64
    return there if there.dtype == like.dtype else array_namespace(like).astype(there, like.dtype)


def check_like(like: Array, given: Array, name: str, what: str = "the fixed point") -> Array:
    """Return `given`, an array of the library, shape and dtype of `like`.

    Raises ValueError if it is something else; `name`, as in "the guess", opens the sentence.
    """
    if of_one_kind(like, given) and given.shape == like.shape and given.dtype == like.dtype:
        return given
    raise ValueError(f"{name} must be like {what}, {_kind(like)}; it is {_kind(given)}")


def _kind(value: object) -> str:
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        return f"no array but of type {type(value).__name__}"
    return f"{type(value).__name__} of shape {tuple(value.shape)} and dtype {value.dtype}"
