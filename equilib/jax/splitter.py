"""Values of every kind that Python has, taken apart, and put together again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, GeneratorType, MappingProxyType, MethodType, ModuleType
from typing import Any

import jax
import numpy as np

from equilib.jax.classes import JITTED, attributes_of, is_its_attributes, is_unbound, package
from equilib.jax.constants import Contents, Same, hashable, is_plain, plain_key
from equilib.jax.followed import Followed, Known
from equilib.jax.modules import FUNCTIONS, LIBRARIES, spelled_in
from equilib.jax.parts import Making, Parts, constant, whole


class Splitter(Followed):
    """Takes values apart.

    Values have numbers, in the order in which they are met; one that is met again is the same one.
    """

    def split(self, value: Any) -> Parts:
        """Return the parts of a value."""
        if is_plain(value):
            if type(value) is str:
                self.spelled.update(spelled_in(value))
            return Parts(plain_key(value), (), lambda _: value)
        if isinstance(value, jax.Array):
            return Parts("array", (value,), lambda given: next(given.arrays), anew=True)
        if issubclass(type(value), type):
            return self.split_class(value)
        if issubclass(type(value), np.generic):
            return Parts((type(value), value.dtype, value.tobytes()), (), lambda _: value)
        if type(value) is np.ndarray and not value.dtype.hasobject:
            kept = Contents.copied(value) if self.keep else Contents(value)
            return Parts(kept, (), lambda _: kept.array, anew=True)
        known = self.known.get(id(value))
        if known is not None:
            return known.again()
        self.known[id(value)] = known = Known(value, len(self.known), [value])
        self.within.append(value)
        known.found = found = self._opened(value, known)
        self.within.pop()
        return found

    def _opened(self, value: Any, known: Known) -> Parts:
        kind = type(value)
        way = _WAYS.get(kind) if type(kind) is type else None
        if way is not None:
            return way(self, value, known)
        if issubclass(kind, ModuleType):
            return self.split_module(value, known)
        children, structure = jax.tree.flatten(value, is_leaf=lambda each: each is not value)
        if len(children) != 1 or children[0] is not value:
            key = hashable(structure), *self.methods(kind, {}), *self.statics(value, structure)
            make = whole(lambda *made: structure.unflatten(made), changes=not issubclass(kind, tuple))
            return self.joined(known, key, children, make)
        if is_unbound(value):
            return self._unbound(value, known)
        if package(value) in LIBRARIES:
            return constant(value)
        if issubclass(kind, Enum):
            return constant(value, *self.methods(kind, {}), *self.constants(attributes_of(value).items()))
        return self.split_object(value, known) if is_its_attributes(value) else self.split_reduced(value, known)

    def _dictionary(self, value: dict[Any, Any], known: Known) -> Parts:
        """Take apart a dictionary, in its order, which JAX does not keep."""
        names = list(value)

        def fill(made: dict[Any, Any], *found: Any) -> None:
            made.update(zip(names, found, strict=True))

        key = "dict", *(names if all(type(each) is str for each in names) else self.constants(enumerate(names)))
        return self.joined(known, key, value.values(), Making(dict, fill))

    def _list(self, value: list[Any], known: Known) -> Parts:
        return self.joined(known, "list", value, Making(list, lambda made, *each: made.extend(each)))

    def _tuple(self, value: tuple[Any, ...], known: Known) -> Parts:
        return self.joined(known, "tuple", value, whole(lambda *each: each))

    def _function(self, value: FunctionType, known: Known) -> Parts:
        library = package(value) in (*LIBRARIES, *FUNCTIONS) and not value.__closure__
        return constant(value) if library else self.split_function(value, known)

    def _method(self, value: MethodType, known: Known) -> Parts:
        self.bound[id(value.__func__)] = value.__func__
        return self.joined(known, "method", [value.__func__, value.__self__], whole(MethodType))

    def _builtin(self, value: BuiltinFunctionType, known: Known) -> Parts:
        """Take apart a function of a module in C, or a method of an object in C."""
        name = value.__name__
        return self.joined(known, ("builtin", name), [value.__self__], whole(lambda owner: getattr(owner, name)))

    def _proxy(self, value: MappingProxyType[Any, Any], known: Known) -> Parts:
        return self.joined(known, "proxy", [dict(value)], whole(MappingProxyType))

    def _partial(self, value: partial[Any], known: Known) -> Parts:
        make = whole(lambda f, args, named: partial(f, *args, **named))
        return self.joined(known, "partial", [value.func, value.args, value.keywords], make)

    def _view(self, value: Any, known: Known) -> Parts:
        """Take apart the keys, values or items of a dictionary."""
        name = type(value).__name__.removeprefix("dict_")
        return self.joined(known, name, [value.mapping], whole(lambda mapping: getattr(mapping, name)()))

    def _unbound(self, value: Any, known: Known) -> Parts:
        """Take apart a module of Flax's linen: its fields, beside which each has a number of its own."""
        kind = type(value)
        fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value) if each.init}
        make = whole(lambda *found: kind(**dict(zip(fields, found, strict=True))))
        return self.joined(known, (Same(kind), *fields, *self.methods(kind, {})), fields.values(), make)

    def _jitted(self, value: Any, _: Known) -> Parts:
        return constant(value) if package(value) in LIBRARIES else self.split(value.__wrapped__)


_WAYS: dict[type, Callable[[Splitter, Any, Known], Parts]] = {
    dict: Splitter._dictionary,
    list: Splitter._list,
    tuple: Splitter._tuple,
    FunctionType: Splitter._function,
    MethodType: Splitter._method,
    BuiltinFunctionType: Splitter._builtin,
    MappingProxyType: Splitter._proxy,
    partial: Splitter._partial,
    jax.tree_util.Partial: Splitter._partial,
    JITTED: Splitter._jitted,
    GeneratorType: lambda _, value, __: constant(value),
    **dict.fromkeys((type({}.keys()), type({}.values()), type({}.items())), Splitter._view),
}
