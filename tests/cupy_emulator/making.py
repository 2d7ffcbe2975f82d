"""Arrays that are made, copied, joined and chosen from: what is not one call of NumPy's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.cupy_emulator import meter
from tests.cupy_emulator.array import SCALARS, ndarray, unwritten, wrap
from tests.cupy_emulator.crossing import from_numpy, host_of, refuse_numpy, size_of


def array(
    obj: Any,
    dtype: Any = None,
    copy: Any = True,
    order: Any = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> ndarray:
    if isinstance(obj, ndarray):
        host = np.array(obj._host, dtype=dtype, copy=copy or None, order=order, ndmin=ndmin)
        if host is obj._host:
            return obj
        meter.launch("copy", obj.nbytes + host.nbytes)
        return wrap(host)
    if isinstance(obj, (list, tuple)) and obj and all(isinstance(each, ndarray) for each in obj):
        return astype(stack(list(obj)), dtype) if dtype is not None else stack(list(obj))
    host = np.array(obj, dtype=dtype, ndmin=ndmin)  # what holds an array on the device refuses to be converted
    if host.ndim:
        meter.upload()
    else:
        meter.launch("fill", host.nbytes)
    return wrap(host)


def asarray(a: Any, dtype: Any = None, order: Any = None, *, blocking: bool = False) -> ndarray:
    return array(a, dtype=dtype, copy=False, order=order or "K")


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    return array(a, dtype=dtype, copy=False, order="C", ndmin=1)


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    return a.get(order=order, out=out) if isinstance(a, ndarray) else np.asarray(a, order=order)


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return wrap(unwritten(shape, float if dtype is None else dtype, order))


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    refuse_numpy(fill_value)
    host = np.full(shape, host_of(fill_value), dtype, order)
    meter.launch("fill", host.nbytes)
    return wrap(host)


def zeros(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    host = np.zeros(shape, float if dtype is None else dtype, order)
    meter.launch("memset", host.nbytes)
    return wrap(host)


def ones(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return full(shape, 1, float if dtype is None else dtype, order)


def like(make: Callable[..., ndarray]) -> Callable[..., ndarray]:
    def call(a: Any, *value: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None) -> ndarray:
        if not isinstance(a, ndarray):
            raise TypeError(f"Unsupported type {type(a)}")
        if value and make is not full:
            (dtype,), value = value, ()
        return make(a.shape if shape is None else shape, *value, dtype=a.dtype if dtype is None else dtype)

    return call


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> ndarray:
    host = np.arange(start, dtype=dtype) if stop is None else np.arange(start, stop, step, dtype=dtype)
    meter.launch("arange", host.nbytes)
    return wrap(host)


def filled(name: str, kernels: int) -> Callable[..., ndarray]:
    def call(*args: Any, **kwargs: Any) -> ndarray:
        host = getattr(np, name)(*args, **{key: value for key, value in kwargs.items() if value is not None})
        for _ in range(kernels):
            meter.launch(name, host.nbytes)
        return wrap(host)

    return call


def reshape(a: ndarray, newshape: Any, order: str = "C", *, copy: Any = None) -> ndarray:
    refuse_numpy(a)
    host = a._host.reshape(newshape, order=order)
    if not np.may_share_memory(host, a._host) and host.size:
        meter.launch("copy", 2 * host.nbytes)
    return wrap(host)


def ravel(a: ndarray, order: str = "C") -> ndarray:
    return reshape(a, -1, order)


def broadcast_arrays(*args: Any) -> list[ndarray]:
    refuse_numpy(*args)
    return [wrap(each) for each in np.broadcast_arrays(*map(host_of, args))]


def astype(x: ndarray, dtype: Any, /, *, copy: bool = True, order: str = "K", casting: Any = None) -> ndarray:
    if not copy and x.dtype == np.dtype(dtype):
        return x
    with np.errstate(all="ignore"):
        found = wrap(x._host.astype(dtype, order))
    meter.launch("copy", x.nbytes + found.nbytes)
    return found


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None:
        return from_numpy("nonzero", np.nonzero)(condition)
    for value in (condition, x, y):
        if not isinstance(value, (ndarray, *SCALARS)):
            raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(condition, ndarray) and condition.dtype != bool:
        condition = condition.astype(bool)
    found = wrap(np.where(*map(host_of, (condition, x, y))))
    meter.launch("where", size_of(condition, x, y, found))
    return found


def take(a: ndarray, indices: Any, axis: Any = None, out: Any = None) -> ndarray:
    refuse_numpy(a)
    if not isinstance(indices, ndarray):
        meter.upload()
    found = wrap(np.take(a._host, host_of(indices), axis=axis))  # CuPy would wrap what is out of bounds
    meter.launch("take", 2 * found.nbytes)
    return found


def concatenate(
    tup: Sequence[ndarray], axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> ndarray:
    arrays = list(tup)
    if not all(isinstance(each, ndarray) for each in arrays):
        raise TypeError("only arrays on the device can be joined")
    found = wrap(np.concatenate([each._host for each in arrays], axis=axis, dtype=dtype, casting=casting))
    one_kernel = (
        len(arrays) > 8 and found.nbytes < (2 << 20) * len(arrays) and len({each.dtype for each in arrays}) == 1
    )
    if one_kernel:
        equal = all(each._host.flags.c_contiguous and each.shape == arrays[0].shape for each in arrays)
        for _ in range(1 if equal else 3):
            meter.upload()  # where the arrays are
    for _ in range(1 if one_kernel else len(arrays)):
        meter.launch("concatenate", 2 * found.nbytes // (1 if one_kernel else len(arrays)))
    return found


def stack(
    tup: Sequence[ndarray], axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> ndarray:
    arrays = list(tup)
    refuse_numpy(*arrays)
    return concatenate([wrap(np.expand_dims(each._host, axis)) for each in arrays], axis, dtype=dtype, casting=casting)


def copy(a: ndarray, order: str = "K") -> ndarray:
    meter.launch("copy", 2 * a.nbytes)
    return wrap(a._host.copy(order))


def as_strided(x: ndarray, shape: Any = None, strides: Any = None) -> ndarray:
    return wrap(np.lib.stride_tricks.as_strided(x._host, shape, strides))


def sliding_window_view(
    x: ndarray, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> ndarray:
    return wrap(np.lib.stride_tricks.sliding_window_view(x._host, window_shape, axis))
