"""Operations of the core: a formula each, which a kernel may compute instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from equilib.kernels.family import Candidate
from equilib.kernels.kernel import on_cuda
from equilib.kernels.selection import ASK, Place, drop, enter, in_use, least_of, new_table

Formula = TypeVar("Formula", bound=Callable[..., Any])

OPERATIONS: dict[str, Operation] = {}
"""All operations by name."""

_CONSTANTS = frozenset((int, float, str, bool, type(None)))
"""What a kernel is given besides arrays. NumPy's scalars are none of these: they promote as arrays do."""


class Operation:
    """An operation: its name, its formula, and the table of its kernels."""

    def __init__(self, name: str, formula: Callable[..., Any], leading: Callable[..., Any] | None) -> None:
        self.name, self.formula, self.leading, self.table = name, formula, leading, new_table()
        self._parameters = tuple(inspect.signature(formula).parameters.values())

    def compute(
        self, found: Place | None, leading: Any, size: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Return what the best kernel that applies computes; without one, what the formula does.

        `found` is the entry of the table, and `leading` the array of `size` numbers whose type, dtype and size decide.
        """
        if found is ASK:
            found = enter(self.table, self.name, type(leading))
        if found is not None:
            dtype = leading.dtype
            key = dtype, getattr(leading, "device", None)
            usable = found.get(key)
            if usable is None:
                usable = found[key] = tuple(each for each in in_use(self.name) if each.kernel.takes(leading))
            if (
                usable
                and _alike(type(leading), dtype, args)
                and (not kwargs or _alike(type(leading), dtype, kwargs.values()))
            ):
                return self._attempt(usable, dtype, size, args, kwargs)
        return self.formula(*args, **kwargs)

    def _attempt(
        self, usable: tuple[Candidate, ...], dtype: Any, size: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        complete = args if len(args) == len(self._parameters) else self._complete(args, kwargs)
        for candidate in usable:
            try:
                if size >= least_of(candidate.kernel) and candidate.applies(*complete):
                    result = candidate.function()(*complete)
                    if not candidate.trusted:
                        candidate.trust(result, dtype)
                    return result
            except Exception as error:
                result = self.formula(*args, **kwargs)  # raises what was the caller's mistake
                drop(candidate, error)
                return result
        return self.formula(*args, **kwargs)

    def _complete(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Return all arguments by position, the defaults included."""
        rest = self._parameters[len(args) :]
        return (*args, *(kwargs.get(each.name, each.default) for each in rest))


def operation(name: str, *, leading: Callable[..., Any] | None = None) -> Callable[[Formula], Formula]:
    """Make the decorated formula an operation, which a kernel computes where one applies.

    Its type, dtype and size are those of the first argument, or of what `leading` returns of all. A kernel is asked
    only if the arrays among the arguments, and in sequences among these, are of one type and one dtype, and the rest
    Python's numbers, texts and None: traced arrays are left to the formula, which is made of operations again, and so
    are NumPy's scalars, which widen the formula's result.
    """

    def decorate(formula: Formula) -> Formula:
        made = OPERATIONS[name] = Operation(name, formula, leading)
        entry, compute = made.table.get, made.compute

        @wraps(formula)
        def call(*args: Any, **kwargs: Any) -> Any:
            array = (args[0] if args else None) if leading is None else leading(*args, **kwargs)
            found = entry(type(array), ASK)
            if found is not None and ((size := _numbers(array)) >= found.least or (found is ASK and _is_remote(array))):
                return compute(found, array, size, args, kwargs)
            return formula(*args, **kwargs)

        return cast(Formula, call)

    return decorate


def _numbers(array: Any) -> int:
    size = getattr(array, "size", 0)
    return int(size().numel()) if callable(size) else size  # PyTorch's is a method


def _is_remote(array: Any) -> bool:
    """Tell whether an array lies on a device, where a call costs more than what it computes."""
    return type(array) is not np.ndarray and on_cuda(array)


def _alike(kind: type, dtype: Any, values: Any) -> bool:
    """Tell whether all arrays among the values are of one type and dtype, but for weights on the host.

    What else there is must be plain Python: numbers, texts, None, and sequences of them.
    """
    for value in values:
        own = type(value)
        if own is kind:
            if value.dtype is not dtype and value.dtype != dtype:
                return False
        elif own is tuple or own is list:
            if not _alike(kind, dtype, value):
                return False
        elif own is not np.ndarray and own not in _CONSTANTS:
            return False
    return True
