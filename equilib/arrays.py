"""Array namespaces, per-sample norms, and the way between host and device.

Every array function of equilib is written against the array API standard and asks `array_namespace` for the
library at hand. NumPy is answered without importing anything; the others go through array-api-compat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""An array of any array-API library: `numpy.ndarray`, `cupy.ndarray`, `torch.Tensor`, ..."""

Namespace: TypeAlias = Any
"""The module of array functions that belongs to an `Array`."""

Norm: TypeAlias = Callable[[Array], Array]
"""A per-sample norm: an array of shape (batch, ...) to an array of shape (batch,)."""

_SCALARS = (bool, int, float, complex, type(None))
_NUMPY = (np.ndarray, np.generic)
_NUMPY_OR_SCALARS = _NUMPY + _SCALARS


def array_namespace(*arrays: Array) -> Namespace:
    """Return the array-API namespace shared by `arrays`.

    Python scalars take part in any namespace and are passed over; where there is nothing else, it is NumPy's.

    Raises
    ------
    TypeError
        If the arrays belong to different libraries, or one of them is no array.
    """
    for array in arrays:
        if type(array) is not np.ndarray:
            break
    else:
        return np
    if all(isinstance(array, _NUMPY_OR_SCALARS) for array in arrays):
        return np
    import array_api_compat  # deferred: NumPy users never need it

    return array_api_compat.array_namespace(*[a for a in arrays if not isinstance(a, _SCALARS)])


def is_array(value: object) -> bool:
    """Tell whether `value` is an array of some array-API library (NumPy scalars included)."""
    if isinstance(value, _NUMPY):
        return True
    if isinstance(value, _SCALARS) or not hasattr(value, "shape"):
        return False
    import array_api_compat

    return bool(array_api_compat.is_array_api_obj(value))


def to_host(array: Array) -> np.ndarray:
    """Copy `array` to a NumPy array; a NumPy array is returned as it is."""
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "get"):  # cupy.ndarray refuses implicit conversion
        return np.asarray(array.get())
    return np.asarray(array)


def to_host_together(*vectors: Array) -> list[np.ndarray]:
    """Copy arrays of one shape and library to NumPy arrays of float64, in one transfer from the device."""
    if type(vectors[0]) is np.ndarray:
        return [vector.astype(np.float64, copy=False) for vector in vectors]
    return list(to_host(array_namespace(*vectors).stack(vectors)).astype(np.float64))


def from_host(host: np.ndarray, like: Array) -> Array:
    """Copy a NumPy array to the library and the device of `like`, with the dtype it has."""
    if isinstance(like, _NUMPY):
        return host
    import array_api_compat

    xp = array_namespace(like)
    return xp.asarray(host, device=array_api_compat.device(like))


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
    xp = array_namespace(chosen, other)
    return xp.where(rows_like(from_host(mask, chosen), chosen), chosen, other)


def take_rows(array: Array, rows: np.ndarray) -> Array:
    """Return the samples `rows`, an ndarray of int on the host, in that order."""
    return array_namespace(array).take(array, from_host(rows, array), axis=0)


def put_rows(whole: Array, part: Array, rows: np.ndarray) -> Array:
    """Return `whole` with the samples of `part` in the places `rows`, all different: the inverse of `take_rows`."""
    xp = array_namespace(whole, part)
    order = np.arange(whole.shape[0])
    order[rows] = whole.shape[0] + np.arange(len(rows))
    return xp.take(xp.concat((whole, part), axis=0), from_host(order, whole), axis=0)


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


def coefficients(host: np.ndarray, like: Array) -> Array:
    """Copy real numbers from the host to the library, device and dtype of `like`."""
    if isinstance(like, _NUMPY):
        return host.astype(like.dtype)
    xp = array_namespace(like)
    return xp.astype(from_host(host, like), like.dtype)
