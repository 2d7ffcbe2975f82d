"""The array: it holds a NumPy array and lets nobody see it but through what CuPy's arrays can do."""

from __future__ import annotations

import operator
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.cupy_emulator import meter

library: dict[str, Any] = {}
"""The names of the emulated module `cupy`, once it is made."""

SCALARS = (bool, int, float, complex, np.generic)
COMPARISONS = ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")
_IMPLICIT = (
    "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly."
)


class Device:
    """The one device there is; entering it does nothing."""

    id = 0
    compute_capability = "90"

    def __init__(self, device: Any = None) -> None:
        if device not in (None, 0) and not isinstance(device, Device):
            raise TypeError(f"no device {device!r}")

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "<CUDA Device 0>"

    def synchronize(self) -> None:
        """Wait for nothing."""


class ndarray:
    """An array on the emulated device.

    It is no subclass of NumPy's, so that nothing NumPy does by itself reaches it. Reductions and indices give arrays
    without axes, never NumPy's scalars.
    """

    __module__ = "cupy"
    __slots__ = ("_host",)
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"
    ) -> None:
        if memptr is not None or strides is not None:
            raise NotImplementedError("the emulator has no memory of its own to point to")
        self._host = unwritten(shape, dtype, order)

    # What only CuPy has, and what it refuses.

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        meter.download()
        if out is not None:
            out[...] = self._host
            return out
        return self._host.copy(order=order)

    def set(self, arr: Any, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray) or arr.dtype != self.dtype or arr.shape != self.shape:
            raise TypeError("only a numpy.ndarray of the same shape and dtype can be set")
        meter.upload()
        self._host[...] = arr

    @property
    def device(self) -> Device:
        return Device()

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(_IMPLICIT)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    @shape.setter
    def shape(self, shape: tuple[int, ...]) -> None:
        self._host.shape = shape

    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    data = property(lambda self: SimpleNamespace(ptr=self._host.ctypes.data))
    T = property(lambda self: wrap(self._host.T))
    mT = property(lambda self: wrap(self._host.mT))
    real = property(lambda self: wrap(self._host.real))

    # To Python: each waits for the device.

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                "The truth value of an array that has not one element is ambiguous. Use a.any() or a.all()"
            )
        return bool(self.get())

    __int__ = lambda self: int(self.get())
    __float__ = lambda self: float(self.get())
    __complex__ = lambda self: complex(self.get())
    __repr__ = lambda self: repr(self.get())
    __str__ = lambda self: str(self.get())
    __format__ = lambda self, spec: format(self.get(), spec)
    __reduce__ = lambda self: (wrap, (self.get(),))
    __copy__ = lambda self: self.copy()
    __deepcopy__ = lambda self, _: self.copy()

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    # Parts.

    def __getitem__(self, index: Any) -> ndarray:
        plain, fancy = as_index(index, self.shape)
        found = self._host[plain]
        if fancy:
            if not isinstance(index, ndarray):
                meter.upload()
            meter.launch("take", 2 * np.asarray(found).nbytes)
        return wrap(found if fancy else view_of(self._host, plain))

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, (np.ndarray, list, tuple)) and np.ndim(value):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        plain, fancy = as_index(index, self.shape, unique=True)
        target = self._host[plain]
        meter.launch("scatter" if fancy else "copy", np.asarray(target).nbytes + getattr(value, "nbytes", 0))
        with np.errstate(all="ignore"):
            self._host[plain] = value._host if isinstance(value, ndarray) else value

    # NumPy's functions on this array are CuPy's.

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function = library.get(ufunc.__name__)
        function = function if method == "__call__" or function is None else getattr(function, method, None)
        if function is None:
            return NotImplemented
        if len(kwargs.get("out", (None,))) == 1 and "out" in kwargs:
            kwargs["out"] = kwargs["out"][0]
        if ufunc.__name__ in COMPARISONS:  # CuPy's own exception for numpy.ndarray without axes
            inputs = tuple(x.item() if isinstance(x, np.ndarray) and not x.ndim else x for x in inputs)
        if not all(isinstance(x, (ndarray, np.ndarray, *SCALARS)) for x in inputs):
            return NotImplemented
        return function(*inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        part = function.__module__.partition(".")[2]
        own = getattr(library.get(part), function.__name__, None) if part else library.get(function.__name__)
        if own is None or own is function or not all(issubclass(t, (ndarray, np.ndarray)) for t in types):
            return NotImplemented
        return own(*args, **kwargs)


def wrap(host: Any) -> ndarray:
    """Return an array on the device over a NumPy array, without a copy."""
    array = ndarray.__new__(ndarray)
    host = np.asarray(host)
    if host.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    array._host = host
    return array


def unwritten(shape: Any, dtype: Any, order: str = "C") -> np.ndarray:
    """Return an array of nan, or of numbers that nobody expects: what is read before it is written shows."""
    kind = np.dtype(dtype)
    if kind.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {kind}")
    host = np.empty(shape, kind, order)
    host.fill(np.nan if kind.kind in "fc" else True if kind.kind == "b" else np.iinfo(kind).max // 3)
    return host


def view_of(host: np.ndarray, index: Any) -> np.ndarray:
    """Return host[index] as an array, never a scalar, that shares memory with host."""
    index = index if isinstance(index, tuple) else (index,)
    return host[index if ... in index else (*index, ...)]


def as_index(index: Any, shape: tuple[int, ...], *, unique: bool = False) -> tuple[Any, bool]:
    """Return an index for NumPy, and whether it gathers.

    CuPy wraps integers of an array that are out of bounds, and stores any of several values meant for one place: the
    emulator raises, as neither is ever meant.
    """
    parts = index if isinstance(index, tuple) else (index,)
    fancy, plain = False, []
    for part in parts:
        if isinstance(part, (ndarray, np.ndarray, list)):
            fancy = True
            part = part._host if isinstance(part, ndarray) else np.asarray(part)
            if (
                unique
                and part.dtype.kind in "iu"
                and len(parts) == 1
                and np.unique(part % max(shape[0], 1)).size < part.size
            ):
                raise IndexError("an index occurs twice in an assignment: CuPy would store any of the values")
        elif not isinstance(part, (int, np.integer, slice, type(None), type(...))):
            operator.index(part)
        plain.append(part)
    return tuple(plain) if isinstance(index, tuple) else plain[0], fancy
