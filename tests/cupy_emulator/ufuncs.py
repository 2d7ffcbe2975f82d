"""Functions of single elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.cupy_emulator import meter
from tests.cupy_emulator.array import SCALARS, ndarray
from tests.cupy_emulator.crossing import device_result, host_of, refuse_numpy, size_of


class ufunc:
    """A function of single elements; like CuPy's it takes `out`, `dtype` and `casting`, and no `where`."""

    def __init__(self, name: str, nin: int, nout: int) -> None:
        self.__name__, self.name, self.nin, self.nout, self.nargs = name, f"cupy_{name}", nin, nout, nin + nout
        self._numpy = getattr(np, name, None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        out, dtype = kwargs.pop("out", None), kwargs.pop("dtype", None)
        casting = kwargs.pop("casting", "same_kind")
        if kwargs:
            raise TypeError(f"Wrong arguments {kwargs}")
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(f"Wrong number of arguments for {self.name!r}")
        if len(args) > self.nin:
            (out,), args = args[self.nin :], args[: self.nin]
        for value in (*args, out):
            if not (value is None and value is out) and not isinstance(value, (ndarray, *SCALARS)):
                raise TypeError(f"Unsupported type {type(value)}")
        if self._numpy is None:
            raise NotImplementedError(f"the emulator does not know {self.__name__}")
        options = {key: value for key, value in (("dtype", dtype), ("out", host_of(out))) if value is not None}
        with np.errstate(all="ignore"):
            found = self._numpy(*map(host_of, args), casting=casting, **options)
        result = out if out is not None else device_result(found)
        meter.launch(self.name, size_of(*args, result))
        return result

    def reduce(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        if self.__name__ not in ("add", "multiply"):
            raise NotImplementedError(f"`{self.name}.reduce` is not supported yet")
        return getattr(array, "sum" if self.__name__ == "add" else "prod")(axis, dtype, out, keepdims)

    def outer(self, one: Any, other: Any, **kwargs: Any) -> Any:
        return self(one.reshape(one.shape + (1,) * other.ndim), other.reshape((1,) * one.ndim + other.shape), **kwargs)

    def at(self, array: Any, indices: Any, values: Any = None) -> None:
        if self.__name__ not in ("add", "subtract", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"):
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        refuse_numpy(values)
        meter.launch(f"{self.name}_at", size_of(array, values))
        self._numpy.at(array._host, host_of(indices), host_of(values))
