"""Array namespaces, and the way between host and device.

NumPy is answered without importing anything; the others go through array-api-compat.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from equilib.errors import a

Array: TypeAlias = Any
"""An array of any array-API library: `numpy.ndarray`, `cupy.ndarray`, `torch.Tensor`, ..."""

Namespace: TypeAlias = Any
"""The module of array functions that belongs to an `Array`."""


_SCALARS = (bool, int, float, complex, type(None))
_NUMPY = (np.ndarray, np.generic)
_NUMPY_OR_SCALARS = _NUMPY + _SCALARS


def array_namespace(*arrays: Array) -> Namespace:
    """Return the array-API namespace shared by `arrays`.

    Python scalars take part in any namespace and are passed over; where there is nothing else, it is NumPy's.

    Raises TypeError if the arrays belong to different libraries, or one of them is no plain array.
    """
    for array in arrays:
        if type(array) is not np.ndarray:
            break
    else:
        return np
    if all(isinstance(array, _NUMPY_OR_SCALARS) for array in arrays):
        refuse_others(*(array for array in arrays if isinstance(array, np.ndarray)))
        return np
    import array_api_compat  # deferred: NumPy users never need it

    try:
        return array_api_compat.array_namespace(*[each for each in arrays if not isinstance(each, _SCALARS)])
    except TypeError:
        for array in arrays:
            if not isinstance(array, _SCALARS):
                refuse_others(array)
        libraries = sorted({name for each in arrays if not isinstance(each, _SCALARS) and (name := _library(each))})
        if len(libraries) < 2:
            raise
        raise TypeError(
            f"an operation got arrays of {' and '.join(libraries)}: give parameters and inputs of one library; "
            "equilib.arrays has to_host(array), which makes a NumPy array, and from_host(host, like), one of another's"
        ) from None


def library_of(array: Array) -> str:
    """Return the name of the library that an array, of any shape, is of, as it is imported."""
    return _imported(array_namespace(array))


def _library(array: Any) -> str | None:
    import array_api_compat

    try:
        return _imported(array_api_compat.array_namespace(array))
    except TypeError:
        return None


def _imported(namespace: Namespace) -> str:
    return str(namespace.__name__).removeprefix("array_api_compat.").partition(".")[0]


def refuse_others(*arrays: Array) -> None:
    """Raise TypeError if one of them is no array, but a list, say, or is a masked array or a matrix."""
    for array in arrays:
        if is_odd(array):
            raise TypeError(f"operations take plain arrays, got {a(type(array).__name__)}; take {plain_way(array)}")
        if not _has_shape(array):
            made = "; of numbers make one by np.asarray(...)" if isinstance(array, list | tuple) else ""
            raise TypeError(f"operations take arrays, got {a(type(array).__name__)}{made}")


def _has_shape(value: object) -> bool:
    try:
        return hasattr(value, "shape")
    except Exception:  # whatever an object raises that is none
        return False


def is_odd(array: object) -> bool:
    """Tell whether it is an array of NumPy's whose arithmetic is another: a masked one, or a matrix."""
    return type(array) is not np.ndarray and isinstance(array, np.ma.MaskedArray | np.matrix)


def plain_way(array: np.ndarray) -> str:
    """Return how a plain array is made of one of a subclass of NumPy's."""
    if isinstance(array, np.ma.MaskedArray):
        return "its filled(...), which says what stands where it is masked"
    return "np.asarray(...) of it"


def zeros_like(array: Array) -> Array:
    """Return zeros of the shape, dtype, library and device of `array`."""
    return array_namespace(array).zeros_like(array)


def zeros(shape: tuple[int, ...], like: Array) -> Array:
    """Return zeros of that shape, of the dtype, library and device of `like`: nothing is copied from the host."""
    if isinstance(like, _NUMPY):
        return np.zeros(shape, like.dtype)
    import array_api_compat

    return array_namespace(like).zeros(shape, dtype=like.dtype, device=array_api_compat.device(like))


def differentiates(array: Array) -> bool:
    """Tell whether the library of an array, of any shape, may differentiate operations itself, as PyTorch and JAX do.

    What an operation is made of then decides its slope where it is not smooth, or where something within overflows.
    """
    return type(array) is not np.ndarray and (hasattr(array, "requires_grad") or hasattr(array, "at"))


def is_array(value: object) -> bool:
    """Tell whether `value` is an array of some array-API library (NumPy scalars included)."""
    if isinstance(value, _NUMPY):
        return True
    if isinstance(value, (_SCALARS, type)) or not _has_shape(value):
        return False
    import array_api_compat

    return bool(array_api_compat.is_array_api_obj(value))


def to_host(array: Array) -> np.ndarray:
    """Copy `array` to a NumPy array of its shape and dtype; a NumPy array is returned as it is.

    A dtype that NumPy does not have, such as PyTorch's bfloat16, becomes float32. An array on the host need not be
    copied, and derivatives do not follow it.
    """
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "get"):  # cupy.ndarray refuses implicit conversion
        return np.asarray(array.get())
    if not hasattr(array, "detach"):
        return np.asarray(array)
    array = array.detach().cpu()  # torch.Tensor refuses what requires grad, and what lies elsewhere
    return np.asarray(array.float() if str(array.dtype) == "torch.bfloat16" else array)


def host_dtype(like: Array) -> np.dtype:
    """Return NumPy's dtype for the numbers of `like`, of any shape, on the host; float32 where NumPy has none."""
    if isinstance(like, _NUMPY):
        return like.dtype
    name = str(like.dtype).rpartition(".")[2]
    return np.dtype("float32" if name == "bfloat16" else name)


def of_one_kind(one: object, other: object) -> bool:
    """Tell whether two values are arrays of one library, whatever their classes: NumPy's scalars are arrays too."""
    if type(one) is type(other):
        return True
    if not is_array(one) or not is_array(other):
        return False
    return array_namespace(one) is array_namespace(other)


def to_host_together(*vectors: Array) -> list[np.ndarray]:
    """Copy arrays of one shape and library to NumPy arrays of float64, in one transfer from the device."""
    if type(vectors[0]) is np.ndarray:
        return [vector.astype(np.float64, copy=False) for vector in vectors]
    return list(to_host(array_namespace(*vectors).stack(vectors)).astype(np.float64))


def from_host(host: np.ndarray, like: Array) -> Array:
    """Copy a NumPy array to the library and the device of `like`, with the shape and dtype it has."""
    if isinstance(like, _NUMPY):
        return host
    import array_api_compat

    xp = array_namespace(like)
    device: Any = array_api_compat.device(like)
    if hasattr(device, "spec") and hasattr(device, "update"):  # JAX's: where the parts of an array lie
        device = device.update(spec=())
    return xp.asarray(host if host.flags.writeable else host.copy(), device=device)


def constant_beside(constant: Array, like: Array) -> Array:
    """Return a constant, an array of any shape and dtype, in the library of `like`: NumPy's is copied to it.

    Raises TypeError if it is of another library.
    """
    if isinstance(constant, _NUMPY) and not isinstance(like, _NUMPY):
        return from_host(np.asarray(constant), like)
    array_namespace(constant, like)
    return constant
