"""Classes, looked at without a call of anything of theirs: what they hold, and which of it an instance can reach."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import cached_property, partialmethod
from types import BuiltinFunctionType, FunctionType, MemberDescriptorType
from typing import Any

import jax

from equilib.jax.modules import FUNCTIONS, LIBRARIES

JITTED: Any = type(jax.jit(abs))

_HEAP_TYPE = 1 << 9
"""The flag of classes that are written in Python, whose objects are their attributes."""

_namespace = type.__dict__["__dict__"].__get__
_bases = type.__dict__["__mro__"].__get__
_offset = type.__dict__["__dictoffset__"].__get__
_flags = type.__dict__["__flags__"].__get__


def package(value: Any) -> str:
    """Return the name of the package that a value says to be of, or that its class is of."""
    try:
        name = value.__module__
    except Exception:  # whatever the object raises
        name = type(value).__module__
    return str(name).partition(".")[0]


def is_written(kind: type) -> bool:
    """Tell whether a class is written in Python."""
    return bool(_flags(kind) & _HEAP_TYPE)


def written(kind: type) -> Iterator[tuple[type, Mapping[str, Any]]]:
    """Yield a class and its bases, the last first, with what they hold, but for those that are not in Python."""
    for each in reversed(_bases(kind)):
        if is_written(each):
            yield each, _namespace(each)


def data_of(kind: type) -> dict[str, Any]:
    """Return the attributes of a class and its bases that hold data, as an instance sees them."""
    found: dict[str, Any] = {}
    for each, scope in written(kind):
        if package(each) not in (*LIBRARIES, *FUNCTIONS, *sys.stdlib_module_names):
            found |= {name: value for name, value in scope.items() if is_data(name, value)}
    return found


def is_data(name: str, value: Any) -> bool:
    """Tell whether an attribute of a class is what an instance has, too: no function, and not of the class itself."""
    return not (name.startswith("__") or isinstance(value, type) or _is_bound(value))


def functions_of(value: Any) -> list[Any]:
    """Return the functions, and objects that act for them, of what a class holds: those of methods and properties."""
    if isinstance(value, FunctionType | type | JITTED):
        return [value]
    if isinstance(value, property):
        return [] if value.fget is None else [value.fget]
    if isinstance(value, cached_property):
        return [value.func]
    if isinstance(value, staticmethod | classmethod):
        return [value.__func__]
    if isinstance(value, partialmethod):
        return [value.func, value.args, value.keywords]
    return [value] if _is_bound(value) and is_written(type(value)) else []


def attributes_of(value: Any) -> dict[str, Any]:
    """Return the attributes of an object itself, which has a dictionary of them."""
    found: dict[str, Any] = object.__getattribute__(value, "__dict__")
    return found


def is_its_attributes(value: Any) -> bool:
    """Tell whether an object is what its dictionary of attributes holds, and nothing beside."""
    kinds = _bases(type(value))[:-1]
    return bool(_offset(type(value))) and all(map(is_written, kinds)) and not any(map(_has_more, kinds))


def is_unbound(value: Any) -> bool:
    """Tell whether an object is a module of Flax's linen that holds no variables, and so is what its fields are."""
    linen = sys.modules.get("flax.linen")
    of_linen = linen is not None and linen.Module in _bases(type(value))
    return of_linen and value.parent is None and value.scope is None


def _has_more(kind: type) -> bool:
    """Tell whether instances have slots, or what is made in C by a class that has the flag all the same."""
    scope = _namespace(kind)
    if isinstance(scope.get("__new__"), BuiltinFunctionType):
        return True
    return bool(scope.get("__slots__")) and any(isinstance(each, MemberDescriptorType) for each in scope.values())


def _is_bound(value: Any) -> bool:
    return any("__get__" in _namespace(each) for each in _bases(type(value)))
