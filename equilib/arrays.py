"""Array namespaces, per-sample norms, and the way between host and device.

Every array function of equilib is written against the array API standard and asks `array_namespace` for the
library at hand. NumPy is answered without importing anything; the others go through array-api-compat.
"""

from __future__ import annotations

from collections.abc import Callable
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


def from_host(host: np.ndarray, like: Array) -> Array:
    """Copy a NumPy array to the library and the device of `like`, with the dtype it has."""
    if isinstance(like, _NUMPY):
        return host
    import array_api_compat

    xp = array_namespace(like)
    return xp.asarray(host, device=array_api_compat.device(like))


def samples_as_rows(array: Array) -> Array:
    """Reshape (batch, ...) to (batch, size of one sample)."""
    return array_namespace(array).reshape(array, (array.shape[0], prod(array.shape[1:])))


def rows_like(vector: Array, array: Array) -> Array:
    """Reshape (batch,) to (batch, 1, ..., 1), so that it broadcasts against `array` sample by sample."""
    xp = array_namespace(vector)
    return xp.reshape(vector, (vector.shape[0],) + (1,) * (array.ndim - 1))


def where_samples(mask: np.ndarray, chosen: Array, other: Array) -> Array:
    """Take whole samples from `chosen` where the host mask (batch,) is true, else from `other`.

    Selecting, never multiplying by a mask: 0 · NaN is NaN.
    """
    if mask.all():
        return chosen
    if not mask.any():
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


def two_norm(array: Array) -> Array:
    """Return the Euclidean norm of each sample, shape (batch,)."""
    xp = array_namespace(array)
    rows = samples_as_rows(array)
    return xp.sqrt(xp.vecdot(rows, rows))


def rms_norm(array: Array) -> Array:
    """Return the root mean square of each sample, shape (batch,): a norm that does not grow with the size."""
    size = samples_as_rows(array).shape[1]
    return two_norm(array) / max(size, 1) ** 0.5


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
