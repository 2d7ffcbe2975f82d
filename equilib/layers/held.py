"""Layers that an object of any class holds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from numbers import Number
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

import numpy as np

from equilib.arrays import is_array
from equilib.layers.composite import map_children

_SEVERAL = (list, tuple, set, frozenset)
_NOTHING = (Number, str, bytes, type(None), type, FunctionType, BuiltinFunctionType, ModuleType, np.ndarray, property)
"""What holds no layers, or none that can be told."""

_END = object()


def held_layers(layer: Any) -> Iterator[Any]:
    """Yield the layers, objects with `init`, that an object holds, but not what these hold.

    It may hold them in attributes, slots and those of its class, in lists, tuples, sets and dicts, however deep, and in
    objects that are no layers, as a method of its own could. What a property or a function would find is not seen.
    """
    seen: set[int] = {id(layer)}
    waiting = list(_attributes(layer))
    while waiting:
        value = waiting.pop()
        if isinstance(value, _NOTHING) or id(value) in seen or is_array(value):
            continue
        seen.add(id(value))
        if isinstance(value, dict | MappingProxyType):
            waiting.extend(value.values())
        elif isinstance(value, _SEVERAL):
            waiting.extend(value)
        elif _get(value, "init") is not _END:
            yield value
        else:
            waiting.extend(_attributes(value))


def layers_in(layer: Any) -> list[Any]:
    """Return the layers that a layer is made of: its children, or those that it holds."""
    if not hasattr(layer, "children"):
        return list(held_layers(layer))
    found: list[Any] = []
    map_children(found.append, layer.children())
    return found


def _attributes(value: Any) -> Iterator[Any]:
    if isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    if isinstance(value, MethodType):
        yield value.__self__
    own = _get(value, "__dict__")
    yield from own.values() if isinstance(own, dict | MappingProxyType) else ()
    for kind in type(value).__mro__[:-1]:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            yield _get(value, f"_{kind.__name__.lstrip('_')}{name}" if private else name)
        yield from (held for name, held in vars(kind).items() if not name.startswith("__"))


def _get(value: Any, name: str) -> Any:
    try:
        return getattr(value, name, _END)
    except Exception:  # whatever an object raises that has it not
        return _END
