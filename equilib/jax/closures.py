"""Closures of a map, taken apart: the arrays that it depends on, and a key that tells what remains.

Two functions made by the same line of code are the same map of what they close over. So a lambda that is made anew in
each step of a loop is compiled once, and what it closes over is differentiated like an input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from types import BuiltinFunctionType, CellType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

import jax
import numpy as np

from equilib.jax.constants import Contents, Same, reconstructed, reduced
from equilib.jax.modules import FUNCTIONS, LIBRARIES, is_own, is_own_class, names_in

Rebuild = Callable[[Iterator[Any]], Any]

_PLAIN = (bool, int, float, complex, str, bytes, type(None))

_JITTED: Any = type(jax.jit(abs))

_CALLED = {"__call__", "__getattr__", "__getitem__", "__matmul__", "__mul__", "__rmul__", "__add__", "__radd__"}
"""Methods that code calls without a mention of their names."""

_HEAP_TYPE = 1 << 9
"""The flag of classes that are written in Python, whose objects are their attributes."""


@dataclass(frozen=True)
class Parts:
    """A value taken apart: what it is but for the arrays in it, the arrays, and how to make it of others.

    It is made `anew` where there are arrays or copies in it.
    """

    key: Any
    arrays: tuple[Any, ...]
    rebuild: Rebuild
    anew: bool = False


def taken_apart(value: Any, *, keep: bool = False) -> Parts:
    """Take apart a function with what it closes over, or a tree such as a module of Equinox or Flax.

    Followed are cells, defaults, bound arguments, attributes of objects and of their classes, what is in containers,
    and globals, which the code mentions, of modules that are not installed. JAX's arrays in them are arrays; those of
    NumPy, and all else, are constants, known by what is in them, and so are arrays that methods of objects find in
    their modules. To `keep` the parts, NumPy's arrays are copied: the user's may change in place.
    """
    call = type(value).__call__ if callable(value) else None
    if isinstance(call, FunctionType) and _package(call) not in LIBRARIES and _is_its_attributes(value):
        value = MethodType(call, value)  # whose globals are looked at
    mentioned: set[str] = set()
    while True:
        splitter = _Splitter(mentioned, keep=keep)
        parts = splitter.split(value)
        mentioned = splitter.mentioned
        if splitter.used in (None, len(mentioned)):
            return parts


class _Splitter:
    """Takes values apart, knowing names that code has `mentioned`; there were so many when that was `used` first."""

    def __init__(self, mentioned: set[str], *, keep: bool) -> None:
        self._keep = keep
        self._open: set[Any] = set()
        self._globals: dict[str, Any] | None = None
        self._root = ""
        self.mentioned = set(mentioned)
        self.used: int | None = None
        self._done: dict[int, tuple[Any, Parts]] = {}
        self._bound: set[Any] = set()

    def _names(self) -> set[str]:
        """Return the names that code has mentioned so far."""
        if self.used is None:
            self.used = len(self.mentioned)
        return self.mentioned

    def split(self, value: Any) -> Parts:
        if isinstance(value, jax.Array):
            return Parts("array", (value,), next, anew=True)
        if isinstance(value, _PLAIN):
            return Parts((type(value), value), (), lambda _: value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, np.generic):
            return Parts((type(value), value.dtype, value.tobytes()), (), lambda _: value)
        if type(value) is np.ndarray and not value.dtype.hasobject:
            kept = Contents.copied(value) if self._keep else Contents(value)
            return Parts(kept, (), lambda _: kept.array, anew=self._keep)
        if isinstance(value, ModuleType):
            return self._module(value)
        if id(value) in self._open:  # what contains itself
            return _constant(value)
        if id(value) in self._done:
            return self._done[id(value)][1]
        self._open.add(id(value))
        try:
            found = self._opened(value)
        finally:
            self._open.discard(id(value))
        if isinstance(value, FunctionType) and not found.arrays:  # which many others may call
            again = Parts(("again", len(self._done)), (), found.rebuild, anew=found.anew)
            self._done[id(value)] = value, again
        return found

    def _module(self, value: ModuleType) -> Parts:
        """Take apart a module: what the code that was seen so far mentions of it."""
        scope = vars(value)
        if not is_own(scope, self._root):
            return Parts(value, (), lambda _: value)
        names = [name for name in sorted(self._names()) if name in scope and (id(value), name) not in self._open]

        def make(*found: Any) -> ModuleType:
            made = ModuleType(value.__name__)
            made.__dict__.update(scope | dict(zip(names, found, strict=True)))
            return made

        opened = {(id(value), name) for name in names}
        self._open |= opened
        try:
            return self._joined((value, *names), [scope[name] for name in names], make, value)
        finally:
            self._open -= opened

    def _opened(self, value: Any) -> Parts:
        if isinstance(value, MethodType):
            self._bound.add(value.__func__)
            return self._joined("method", [value.__func__, value.__self__], MethodType, value)
        if isinstance(value, partial):
            make = lambda f, args, named: partial(f, *args, **named)  # noqa: E731
            return self._joined("partial", [value.func, value.args, value.keywords], make, value)
        if isinstance(value, BuiltinFunctionType):  # or a method of an object in C
            named = lambda owner: getattr(owner, value.__name__)  # noqa: E731
            return self._joined(("builtin", value.__name__), [value.__self__], named, value)
        if type(value) is dict:  # whose order JAX does not keep
            keys = list(value)
            return self._joined(
                ("dict", *keys), list(value.values()), lambda *made: dict(zip(keys, made, strict=True)), value
            )
        children, structure = jax.tree.flatten(value, is_leaf=lambda each: each is not value)
        if len(children) != 1 or children[0] is not value:
            key = _hashable(structure), *self._methods(type(value))
            return self._joined(key, children, lambda *made: structure.unflatten(made), value)
        if _package(value) in LIBRARIES:
            return _constant(value)
        if isinstance(value, FunctionType):
            return _constant(value) if _package(value) in FUNCTIONS else self._function(value)
        if isinstance(value, _JITTED):
            return self.split(value.__wrapped__)
        if isinstance(value, MappingProxyType):
            return self._joined("proxy", [dict(value)], MappingProxyType, value)
        return self._object(value) if _is_its_attributes(value) else self._reduced(value)

    def _class(self, value: type) -> Parts:
        """Take apart a class, whose arrays are constants: it cannot be made of others."""
        if id(value) in self._open or not value.__flags__ & _HEAP_TYPE:
            return Parts(value, (), lambda _: value)
        self._open.add(id(value))
        try:
            keys = [*self._constants(_data(value)), *self._methods(value)]
        finally:
            self._open.discard(id(value))
        return Parts((value, *keys), (), lambda _: value)

    def _methods(self, kind: type) -> list[Any]:
        """Return what tells the methods of a class that may be called: what they close over and read."""
        found: dict[str, Any] = {}
        for each in reversed(kind.__mro__[:-1]):
            if each.__flags__ & _HEAP_TYPE and is_own_class(each, self._root):
                known = self._names() | _CALLED
                found |= {name: _method(value) for name, value in vars(each).items() if name in known}
        kinds = FunctionType, type, _JITTED
        return self._constants(
            {name: each for name, each in found.items() if isinstance(each, kinds) and each not in self._bound}
        )

    def _constants(self, values: dict[str, Any]) -> list[Any]:
        """Return what tells named values; of them no others can be made, so arrays are equal to themselves only."""
        parts = [(name, self.split(each)) for name, each in values.items()]
        return [(name, each.key, *map(Same, each.arrays)) for name, each in parts]

    def _object(self, value: Any) -> Parts:
        kind, attributes = type(value), _data(type(value)) | object.__getattribute__(value, "__dict__")
        names = list(attributes)

        def make(*found: Any) -> Any:
            made = object.__new__(kind)
            made.__dict__.update(zip(names, found, strict=True))
            return made

        return self._joined((kind, *names, *self._methods(kind)), list(attributes.values()), make, value)

    def _reduced(self, value: Any) -> Parts:
        """Take apart an object as `copy` does: sets, queues, subclasses of containers, objects with slots."""
        found = reduced(value)
        if found is None:
            return _constant(value)
        make, values = found
        return self._joined((type(value), make), values, partial(reconstructed, make), value)

    def _function(self, f: FunctionType) -> Parts:
        if self._globals is None:
            self._globals = f.__globals__
            self._root = str(f.__globals__.get("__name__")).partition(".")[0]
        code, name, scope = f.__code__, f.__name__, f.__globals__
        cells = f.__closure__ or ()
        filled = [_is_filled(cell) for cell in cells]
        inside = [cell.cell_contents for cell, full in zip(cells, filled, strict=True) if full]
        count = len(inside)
        names = names_in(code)
        self.mentioned.update(names)
        followed = scope is self._globals or is_own(scope, self._root)
        own = [each for each in names if each in scope] if followed else []
        imported = {each: sys.modules[each] for each in names if each not in scope and each in sys.modules}

        def make(defaults: Any, named: Any, attributes: Any, *found: Any) -> FunctionType:
            contents, outside = iter(found[:count]), found[count:]
            closure = tuple(CellType(next(contents)) if full else CellType() for full in filled)
            made = FunctionType(code, scope | dict(zip(own, outside, strict=True)), name, defaults, closure)
            made.__kwdefaults__ = named
            made.__dict__.update(attributes)
            return made

        values = [f.__defaults__, f.__kwdefaults__, dict(vars(f)), *inside, *(scope[each] for each in own)]
        key = code, id(scope), *filled, *own, *self._constants(imported)
        return self._joined(key, values, make, f)

    def _joined(self, key: Any, values: Sequence[Any], make: Callable[..., Any], whole: Any) -> Parts:
        """Return the parts of what is made of several values; it is `whole` where none of them is made anew."""
        parts = [self.split(each) for each in values]
        arrays = tuple(array for each in parts for array in each.arrays)
        rebuilds, anew = [each.rebuild for each in parts], any(each.anew for each in parts)

        def rebuild(given: Iterator[Any]) -> Any:
            return make(*[each(given) for each in rebuilds])

        found = (key, *(each.key for each in parts))
        return Parts(found, arrays, rebuild if anew else lambda _: whole, anew=anew)


def _constant(value: Any) -> Parts:
    return Parts(Same(value), (), lambda _: value)


def _hashable(structure: Any) -> Any:
    try:
        hash(structure)
    except TypeError:  # a node with arrays of NumPy's in its static part
        return Same(structure)
    return structure


def _package(value: Any) -> str:
    try:
        name = value.__module__
    except Exception:  # whatever the object raises
        name = type(value).__module__
    return str(name).partition(".")[0]


def _method(value: Any) -> Any:
    """Return the function of a method, as a class holds it."""
    if isinstance(value, property | cached_property):
        return value.fget if isinstance(value, property) else value.func
    return value.__func__ if isinstance(value, staticmethod | classmethod) else value


def _data(kind: type) -> dict[str, Any]:
    """Return the attributes of a class and its bases that hold data."""
    found: dict[str, Any] = {}
    for each in reversed(kind.__mro__[:-1]):
        if _package(each) not in (*LIBRARIES, *FUNCTIONS, *sys.stdlib_module_names):
            found |= {name: value for name, value in vars(each).items() if _is_data(name, value)}
    return found


def _is_data(name: str, value: Any) -> bool:
    return not (name.startswith("__") or callable(value) or hasattr(type(value), "__get__"))


def _is_its_attributes(value: Any) -> bool:
    kinds = type(value).__mro__[:-1]
    return type(value).__dictoffset__ != 0 and all(each.__flags__ & _HEAP_TYPE for each in kinds)


def _is_filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # a name that is assigned later
        return False
    return True
