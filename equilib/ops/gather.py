"""Rows taken by their numbers, and their transpose, the sum of rows into their places."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from equilib.arrays import Array, array_namespace, as_places, constant_beside, is_array
from equilib.autodiff.rules import with_transposes
from equilib.ops.shapes import place_of, shape_of
from equilib.options.kinds import described


@with_transposes(lambda x, indices, axis=0: lambda w: put_sum(w, indices, shape_of(x), axis))
def take(x: Array, indices: Array, axis: int = 0) -> Array:
    """Return the slices of x with the numbers `indices`, a constant: an array of integers, a list or one.

    An array is of x's library or NumPy's. Raises TypeError if they are no integers.

    Shape (..., n, ...) becomes (..., *indices.shape, ...) at `axis`. Numbers outside [0, n) are the caller's to refuse:
    libraries differ on them.
    """
    shape = shape_of(x)
    xp, axis, indices = array_namespace(x), place_of(axis, shape), _integers(indices, x)
    rows = xp.take(x, xp.reshape(indices, (-1,)), axis=axis)
    return xp.reshape(rows, (*shape[:axis], *indices.shape, *shape[axis + 1 :]))


@with_transposes(lambda g, indices, shape, axis=0: lambda w: take(w, indices, axis))
def put_sum(g: Array, indices: Array, shape: tuple[int, ...], axis: int = 0) -> Array:
    """Add slices to zeros of `shape` in the places `indices` along `axis`: the transpose of `take`."""
    xp, axis, indices = array_namespace(g), place_of(axis, shape), _integers(indices, g)
    before, after, length = shape[:axis], shape[axis + 1 :], shape[axis]
    slices = xp.reshape(g, (prod(before), prod(indices.shape), prod(after)))
    places = as_places(xp.reshape(indices, (-1,)))
    places = xp.where(places < 0, places + length, places)
    summed = _host_sums(slices, places, length) if type(g) is np.ndarray else _products(slices, places, length)
    return xp.reshape(summed, shape)


def _integers(indices: Any, like: Array) -> Array:
    """Return indices as an integer array of the library of `like`."""
    if type(indices) is np.ndarray is type(like) and indices.dtype.kind in "iu":
        return indices
    given = _listed(indices) if isinstance(indices, list | tuple | int) else indices
    if not is_array(given) or not array_namespace(given).isdtype(given.dtype, "integral"):
        raise TypeError(f"indices must be integers, in an array or a list, got {described(indices)}{_of(given)}")
    return as_places(constant_beside(given, like))


def _listed(indices: Any) -> np.ndarray:
    """Return the array that a list is, an empty one of integers."""
    try:
        found = np.asarray(indices)
    except ValueError:
        raise TypeError("indices must be integers, in an array or a list, got lists of different lengths") from None
    return found if found.size else found.astype(np.int64)


def _of(array: Any) -> str:
    return f" of {array.dtype}" if is_array(array) else ""


def _host_sums(slices: Array, places: Array, length: int) -> Array:
    out = np.zeros((slices.shape[0], length, slices.shape[2]), slices.dtype)
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    if ordered.size:
        first = np.flatnonzero(np.diff(ordered, prepend=-1))
        out[:, ordered[first]] = np.add.reduceat(slices[:, order], first, axis=1)
    return out


def _products(slices: Array, places: Array, length: int) -> Array:
    # The standard has no sums into places; a product with ones and zeros is the same sum in every run, as atomic
    # additions on a GPU are not.
    xp = array_namespace(slices)
    numbers = xp.arange(length, dtype=places.dtype, device=getattr(places, "device", None))
    return xp.matmul(xp.astype(numbers[:, None] == places[None, :], slices.dtype), slices)
