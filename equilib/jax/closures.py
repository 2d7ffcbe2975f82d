"""Closures of a map, taken apart: the arrays that it depends on, and a key that tells what remains.

Two functions made by the same line of code are the same map of what they close over. So a lambda that is made anew in
each step of a loop is compiled once, and what it closes over is differentiated like an input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import jax

Rebuild = Callable[[Iterator[Any]], Any]

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type, ModuleType)

_LIBRARIES = ("builtins", "equinox", "flax", "jax", "jaxlib", "jaxtyping", "numpy", "optax", "scipy")
"""Packages whose functions and objects depend on no array of a user's."""

_HEAP_TYPE = 1 << 9
"""The flag of classes that are written in Python, whose objects are their attributes."""


@dataclass(frozen=True, eq=False)
class Same:
    """The key of a value that is equal to itself only."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


@dataclass(frozen=True)
class Parts:
    """A value taken apart: what it is but for the arrays in it, the arrays, and how to make it of others."""

    key: Any
    arrays: tuple[Any, ...]
    rebuild: Rebuild


def taken_apart(value: Any) -> Parts:
    """Take apart a function with what it closes over, or a tree such as a module of Equinox or Flax.

    Followed are cells, defaults, bound arguments, attributes of objects, and globals of the function's own module.
    JAX's arrays in them are arrays; those of NumPy, and all else, are constants.
    """
    return _Splitter().split(value)


class _Splitter:
    def __init__(self) -> None:
        self._open: set[int] = set()
        self._globals: dict[str, Any] | None = None

    def split(self, value: Any) -> Parts:
        if isinstance(value, jax.Array):
            return Parts("array", (value,), next)
        if isinstance(value, _PLAIN):
            return Parts((type(value), value), (), lambda _: value)
        if id(value) in self._open:  # what contains itself
            return _constant(value)
        self._open.add(id(value))
        try:
            return self._opened(value)
        finally:
            self._open.discard(id(value))

    def _opened(self, value: Any) -> Parts:
        if isinstance(value, MethodType):
            return self._joined("method", [value.__func__, value.__self__], MethodType, value)
        if isinstance(value, partial):
            make = lambda f, args, named: partial(f, *args, **named)  # noqa: E731
            return self._joined("partial", [value.func, value.args, value.keywords], make, value)
        if type(value) is dict:  # whose order JAX does not keep
            keys = list(value)
            return self._joined(
                ("dict", *keys), list(value.values()), lambda *made: dict(zip(keys, made, strict=True)), value
            )
        children, structure = jax.tree.flatten(value, is_leaf=lambda each: each is not value)
        if len(children) != 1 or children[0] is not value:
            return self._joined(_hashable(structure), children, lambda *made: structure.unflatten(made), value)
        if str(getattr(value, "__module__", type(value).__module__)).partition(".")[0] in _LIBRARIES:
            return _constant(value)
        if isinstance(value, FunctionType):
            return self._function(value)
        if hasattr(value, "__wrapped__") and hasattr(value, "lower"):  # of jax.jit
            return self.split(value.__wrapped__)
        return self._object(value) if _is_its_attributes(value) else _constant(value)

    def _object(self, value: Any) -> Parts:
        kind, names = type(value), list(vars(value))

        def make(*attributes: Any) -> Any:
            made = object.__new__(kind)
            made.__dict__.update(zip(names, attributes, strict=True))
            return made

        return self._joined((kind, *names), list(vars(value).values()), make, value)

    def _function(self, f: FunctionType) -> Parts:
        if self._globals is None:
            self._globals = f.__globals__
        code, name, scope = f.__code__, f.__name__, f.__globals__
        cells = f.__closure__ or ()
        filled = [_is_filled(cell) for cell in cells]
        inside = [cell.cell_contents for cell, full in zip(cells, filled, strict=True) if full]
        count = len(inside)
        own = sorted(each for each in _names(code) if each in scope) if scope is self._globals else []

        def make(defaults: Any, named: Any, *found: Any) -> FunctionType:
            contents, outside = iter(found[:count]), found[count:]
            closure = tuple(CellType(next(contents)) if full else CellType() for full in filled)
            made = FunctionType(code, scope | dict(zip(own, outside, strict=True)), name, defaults, closure)
            made.__kwdefaults__ = named
            return made

        values = [f.__defaults__, f.__kwdefaults__, *inside, *(scope[each] for each in own)]
        return self._joined((code, id(scope), *filled, *own), values, make, f)

    def _joined(self, key: Any, values: Sequence[Any], make: Callable[..., Any], whole: Any) -> Parts:
        """Return the parts of what is made of several values; it is `whole` where there are no arrays in it."""
        parts = [self.split(each) for each in values]
        arrays = tuple(array for each in parts for array in each.arrays)
        rebuilds = [each.rebuild for each in parts]

        def rebuild(given: Iterator[Any]) -> Any:
            return make(*[each(given) for each in rebuilds])

        found = (key, *(each.key for each in parts))
        return Parts(found, arrays, rebuild if arrays else lambda _: whole)


def _constant(value: Any) -> Parts:
    return Parts(Same(value), (), lambda _: value)


def _hashable(structure: Any) -> Any:
    try:
        hash(structure)
    except TypeError:  # a node with arrays of NumPy's in its static part
        return Same(structure)
    return structure


def _is_its_attributes(value: Any) -> bool:
    kinds = type(value).__mro__[:-1]
    return hasattr(value, "__dict__") and all(each.__flags__ & _HEAP_TYPE for each in kinds)


def _is_filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # a name that is assigned later
        return False
    return True


def _names(code: CodeType) -> set[str]:
    """Return the names of globals, and of attributes, that the code and functions within it mention."""
    return set(code.co_names).union(*(_names(each) for each in code.co_consts if isinstance(each, CodeType)))
