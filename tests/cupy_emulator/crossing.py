"""Arguments and results on their way between the emulated device and NumPy, and CuPy's refusals on that way."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.cupy_emulator import meter
from tests.cupy_emulator.array import ndarray, wrap

_WAITS = ("nonzero", "flatnonzero")  # the size of the result depends on the values


def host_of(value: Any) -> Any:
    """Return the NumPy array inside; other arguments as they are."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, (list, tuple)):
        return type(value)(host_of(each) for each in value) if not hasattr(value, "_fields") else value
    return value


def refuse_numpy(*values: Any) -> None:
    """Raise as CuPy does where a NumPy array is given instead of one on the device."""
    for value in values:
        if isinstance(value, np.ndarray):
            raise TypeError(f"Unsupported type {np.ndarray}")
        if isinstance(value, (list, tuple)):
            refuse_numpy(*value)


def device_result(found: Any) -> Any:
    """Return what a NumPy function found, as arrays on the device."""
    if isinstance(found, tuple):
        parts = [device_result(each) for each in found]
        return type(found)(*parts) if hasattr(found, "_fields") else tuple(parts)
    if isinstance(found, list):
        return [device_result(each) for each in found]
    return wrap(found) if isinstance(found, (np.ndarray, np.generic, bool)) else found


def size_of(*values: Any) -> int:
    """Return the bytes of all arrays among the values."""
    total = 0
    for value in values:
        total += (
            size_of(*value)
            if isinstance(value, (list, tuple))
            else getattr(value, "nbytes", 0)
            if isinstance(value, ndarray)
            else 0
        )
    return total


def signature_of(parameters: list[list[Any]] | None) -> inspect.Signature | None:
    """Return the signature that was recorded; None where nobody knows it."""
    if parameters is None:
        return None
    kinds = inspect.Parameter
    made = [kinds(n, getattr(kinds, k), default=None if d else kinds.empty) for n, k, d in parameters]
    return inspect.Signature(sorted(made, key=lambda p: p.kind))


def checked(name: str, parameters: list[list[Any]] | None, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, refusing arguments that CuPy's does not take."""
    signature = signature_of(parameters)

    def call(*args: Any, **kwargs: Any) -> Any:
        if signature is not None:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{name}() {error}") from None
        return function(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    return call


def from_numpy(name: str, function: Callable[..., Any], *, kernels: int | None = 1) -> Callable[..., Any]:
    """Return NumPy's function for arrays on the device; without `kernels` it is a view, and free where it is one."""

    def call(*args: Any, **kwargs: Any) -> Any:
        refuse_numpy(*args, *kwargs.values())
        out = kwargs.get("out")
        if name in _WAITS:
            meter.download()
        with np.errstate(all="ignore"):
            found = function(
                *map(host_of, args), **{k: host_of(v) for k, v in kwargs.items() if v is not None or k == "axis"}
            )
        result = out if out is not None else device_result(found)
        if kernels is None:
            if isinstance(result, ndarray) and not np.may_share_memory(result._host, host_of(args[0])):
                meter.launch("copy", 2 * result.nbytes)
        else:
            for _ in range(kernels):
                meter.launch(name, size_of(*args, result))
        return result

    return call


def unknown(name: str) -> Callable[..., Any]:
    """Return a function that says that the emulator does not know the name."""

    def call(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"the emulator does not know {name}; teach it, or keep out of it")

    call.__name__ = name
    return call
