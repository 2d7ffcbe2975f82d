"""Inputs that a function closes over: traced arrays in closures are differentiated like those that are given."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from types import CellType, FunctionType
from typing import Any

from equilib.arrays import Tree
from equilib.fixed_points.boundary import is_traced


def with_closure(f: Callable[..., Any], inputs: tuple[Tree, ...]) -> tuple[Callable[..., Any], tuple[Tree, ...]]:
    """Return a map that takes the traced arrays, of any shape, that f closes over in a last input, and all inputs.

    f itself and its inputs where there are none. They are found in variables of enclosing functions, in defaults and in
    arguments of `functools.partial`, and in those of functions that stand there, also within dicts, lists and tuples;
    other objects are not looked into.
    """
    closure = _Closure()
    if not closure.holds(f) or not closure.arrays:
        return f, inputs
    count = len(inputs) + 1

    def lifted(*arguments: Any) -> Any:
        values = {id(box): value for box, value in zip(closure.arrays, arguments[-1], strict=True)}
        return _Filled(closure.holders, values).copy(f)(*arguments[:-count], *arguments[-count:-1])

    return lifted, (*inputs, closure.arrays)


class _Closure:
    """The traced arrays that were found, and the ids of what holds some of them."""

    def __init__(self) -> None:
        self.arrays: list[Any] = []
        self.holders: set[int] = set()
        self._seen: set[int] = set()

    def holds(self, value: Any) -> bool:
        """Look into a value, and tell whether it is, or holds, a traced array."""
        if id(value) in self._seen:
            return id(value) in self.holders
        if is_traced(value):
            self.arrays.append(value)
            children = None
        elif isinstance(value, FunctionType | partial):
            children = _held(value)
        elif isinstance(value, dict | list | tuple):
            children = list(value.values()) if isinstance(value, dict) else list(value)
        else:
            return False
        self._seen.add(id(value))
        self.holders.add(id(value))  # for functions that refer to themselves
        if children is not None:
            found = [self.holds(child) for child in children]
            if not any(found):
                self.holders.discard(id(value))
        return id(value) in self.holders


class _Filled:
    """What holds traced arrays with values in their places; all else is shared with the original."""

    def __init__(self, holders: set[int], values: dict[int, Any]) -> None:
        self._holders, self._values = holders, values
        self._made: dict[int, Any] = {}

    def copy(self, value: Any) -> Any:
        """Return a value with the arrays replaced, itself where it holds none."""
        if id(value) in self._values:
            return self._values[id(value)]
        if id(value) not in self._holders or id(value) in self._made:
            return self._made.get(id(value), value)
        if isinstance(value, dict):
            made = copy(value)  # of its own type
            made.update({key: self.copy(child) for key, child in value.items()})
            return made
        if isinstance(value, list | tuple):
            children = [self.copy(child) for child in value]
            return type(value)(*children) if hasattr(value, "_fields") else type(value)(children)
        if isinstance(value, partial):
            keywords = {name: self.copy(each) for name, each in value.keywords.items()}
            return partial(self.copy(value.func), *map(self.copy, value.args), **keywords)
        return self._function(value)

    def _function(self, function: FunctionType) -> FunctionType:
        before = function.__closure__ or ()
        moved = [_content(cell) is not None and id(_content(cell)) in self._holders for cell in before]
        cells = tuple(CellType() if new else cell for cell, new in zip(before, moved, strict=True))
        made = FunctionType(function.__code__, function.__globals__, function.__name__, None, cells)
        self._made[id(function)] = made
        for cell, old, new in zip(cells, before, moved, strict=True):
            if new:
                cell.cell_contents = self.copy(_content(old))
        made.__defaults__ = function.__defaults__ and tuple(map(self.copy, function.__defaults__))
        made.__kwdefaults__ = {name: self.copy(each) for name, each in (function.__kwdefaults__ or {}).items()}
        return made


def _held(function: FunctionType | partial[Any]) -> list[Any]:
    if isinstance(function, partial):
        return [function.func, *function.args, *function.keywords.values()]
    cells = [_content(cell) for cell in function.__closure__ or ()]
    return [*cells, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None
