"""Subject of a check of kernels: its records, and the calls that its kernels take."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from equilib.arrays import to_host
from equilib.kernels import OPERATIONS, Kernel, KernelFamily
from equilib.testing.contract import DTYPES
from equilib.testing.kernel_cases import Call, calls
from equilib.testing.kernel_large_cases import large_calls
from equilib.testing.subject import skip

Offered = Callable[[Container[str], str], Iterator[Call]]
"""Yields calls of operations with arrays of one dtype."""


@dataclass(frozen=True)
class Trial:
    """A call that a kernel takes, and its code."""

    kernel: Kernel
    call: Call
    dtype: str
    code: Callable[..., Any]

    def __str__(self) -> str:
        shapes = ", ".join(str(_shown(each)) for each in self.call.args)
        return f"{self.kernel.name} of {self.call.operation}({shapes}) in {self.dtype}"

    def results(self, args: tuple[Any, ...] | None = None) -> list[Any]:
        """Return the arrays that the kernel makes of the call's arguments, or of others."""
        found = self.code(*(self.call.args if args is None else args))
        return list(found) if isinstance(found, tuple) else [found]

    def expected(self, args: tuple[Any, ...] | None = None) -> list[np.ndarray]:
        """Return what the formula makes of them, in float64."""
        wide = mapped(self.call.args if args is None else args, lambda x: np.asarray(to_host(x), np.float64))
        with np.errstate(all="ignore"):
            found = OPERATIONS[self.call.operation].formula(*wide)
        return list(found) if isinstance(found, tuple) else [found]


@dataclass(frozen=True)
class KernelsSubject:
    """A family of kernels under test."""

    family: KernelFamily

    @cached_property
    def kernels(self) -> list[Kernel]:
        """The records."""
        return list(self.family.kernels())

    @cached_property
    def loaded(self) -> dict[int, Callable[..., Any]]:
        """The code of the kernels that can be loaded, by their places."""
        found = {}
        for place, kernel in enumerate(self.kernels):
            try:
                found[place] = kernel.function()
            except Exception:  # `loads` says so
                continue
        return found

    def trials(self, offered: Offered = calls) -> Iterator[Trial]:
        """Yield all calls that are offered with each kernel that takes them."""
        for dtype in DTYPES:
            yield from self._trials(offered, dtype, [each for each in self.kernels if dtype in each.dtypes])

    def large_trials(self) -> Iterator[Trial]:
        """Yield calls on large arrays with each kernel that takes them, in one of its dtypes."""
        for dtype in DTYPES:
            cheapest = [each for each in self.kernels if dtype == _cheapest(each)]
            yield from self._trials(large_calls, dtype, cheapest)

    def _trials(self, offered: Offered, dtype: str, kernels: list[Kernel]) -> Iterator[Trial]:
        lifts = {kind: _lift(kind) for kind in sorted({kernel.array for kernel in kernels})}
        for call in offered({each.operation for each in kernels}, dtype):
            for kind, lift in lifts.items():
                args = mapped(call.args, lift)
                for place, code in self.loaded.items():
                    kernel = self.kernels[place]
                    named = kernel.operation == call.operation and kernel.array == kind and kernel in kernels
                    if named and kernel.applies(*args):
                        yield Trial(kernel, Call(call.operation, args), dtype, code)


def _cheapest(kernel: Kernel) -> str:
    return next((dtype for dtype in ("float32", *DTYPES) if dtype in kernel.dtypes), "")


def is_array(value: Any) -> bool:
    """Tell whether an argument is an array."""
    return hasattr(value, "dtype") and hasattr(value, "shape")


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """Return arguments with `function` of each array, in sequences too."""
    if isinstance(value, tuple | list):
        return type(value)(mapped(each, function) for each in value)
    return function(value) if is_array(value) else value


def arrays(value: Any) -> list[Any]:
    """Return the arrays among arguments, those in sequences too."""
    if isinstance(value, tuple | list):
        return [array for each in value for array in arrays(each)]
    return [value] if is_array(value) else []


def _shown(value: Any) -> Any:
    if isinstance(value, list) or (isinstance(value, tuple) and any(map(is_array, value))):
        return f"[{', '.join(str(_shown(each)) for each in value)}]"
    return tuple(value.shape) if is_array(value) else value


def spoiled(args: tuple[Any, ...], number: int, value: float) -> tuple[Any, ...]:
    """Return the arguments with one element of an array in its middle that is not finite."""
    places = [place for place, each in enumerate(args) if is_array(each) and each.size]
    spoiled = args[places[number]].copy()
    flat = spoiled.reshape(-1)
    flat[spoiled.size // 2] = value
    return (*args[: places[number]], flat.reshape(spoiled.shape), *args[places[number] + 1 :])


def _strided(x: Any) -> Any:
    wide = x if not x.ndim else x.repeat(2, -1)
    return wide if not x.ndim else wide[..., ::2]


def _backwards(x: Any) -> Any:
    return x if not x.ndim else x[::-1].copy()[::-1]


def _fortran(x: Any) -> Any:
    return x.T.copy().T


def _broadcast(x: Any) -> Any:
    return np.broadcast_to(x[:1], x.shape) if isinstance(x, np.ndarray) and x.ndim > 1 and x.shape[0] else x


def _lift(kind: str) -> Callable[[np.ndarray], Any]:
    """Return the way from NumPy's arrays to those of a type, as in "cupy.ndarray"."""
    if kind == "numpy.ndarray":
        return lambda x: x
    try:
        library = importlib.import_module(kind.rpartition(".")[0])
        library.asarray(np.ones(1))
    except Exception as error:  # a library without its device fails in many ways
        skip(f"arrays of type {kind} cannot be made here: {error}")
    return lambda x: library.asarray(x)


VIEWS = {"strided": _strided, "reversed": _backwards, "transposed": _fortran, "broadcast": _broadcast}
"""Arrays of the same shape that are not laid out as one that was just made."""
