"""Code and objects, followed: functions with their globals, modules, classes, and what instances of these hold."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import compress, islice
from types import BuiltinFunctionType, CellType, FunctionType, ModuleType
from typing import Any

from equilib.jax.classes import attributes_of, data_of, functions_of, is_data, is_written, written
from equilib.jax.constants import Same, is_plain, is_stateless, reconstructed, reduced
from equilib.jax.modules import COMPUTED, LIBRARIES, imported_in, is_own, is_own_class, names_in
from equilib.jax.parts import Making, Parts, again, constant, joined, within

_OF_ITSELF = {"type", "__class__"}
"""What a method finds its class by, and there attributes that an instance has too."""

_LASTING = (FunctionType, BuiltinFunctionType, ModuleType, type)
"""Types of what a global is once and for all."""

_CACHED: Any = type(lru_cache(abs))


@dataclass(slots=True, eq=False)
class Known:
    """A value that was met, its number, whether it is begun before what is in it, and what it was found to be.

    `itself` is the value for maps that are kept, as long as they need it: what f has held is to be freed. They do where
    it was met `within` itself before it is begun.
    """

    value: Any
    number: int
    itself: list[Any]
    begun: bool = False
    within: bool = False
    found: Parts | None = None

    def again(self) -> Parts:
        """Return the parts that stand for the value where it is met again."""
        if self.found is not None:
            return again(self.number, self.found)
        self.within = self.within or not self.begun
        return within(self.number, self.itself, begun=self.begun)


class Followed:
    """What takes apart code and objects, with the names that code has mentioned.

    What is in classes is fixed, as no others can be made of them: it is numbered apart from what is made anew.
    """

    def __init__(self, mentioned: set[str], *, keep: bool) -> None:
        self.keep = keep
        self.mentioned = set(mentioned)
        self.spelled: set[str] = set()
        self._used: set[str] | None = None
        self._asked: list[Mapping[str, Any]] = []
        self.within: list[Any] = []
        self.known: dict[int, Known] = {}
        self.bound: dict[int, Any] = {}
        self._moving, self._fixed = self.known, dict[int, Known]()
        self._globals: dict[str, Any] | None = None
        self._root = ""
        self._classes: dict[int, type] = {}
        self._kinds: dict[int, type] = {}

    def split(self, value: Any) -> Parts:
        """Return the parts of a value."""
        raise NotImplementedError

    def shared(self) -> dict[int, Any]:
        """Return values that live methods, whose globals stay, read too, by their numbers, and forget the others."""
        found = {
            known.number: known.value
            for name, known in self._moving.items()
            if name in self._fixed and known.found and not known.found.arrays and not isinstance(known.found.key, Same)
        }
        for known in (*self._moving.values(), *self._fixed.values()):
            if known.number not in found and not known.within:
                known.itself.clear()
        return found

    def joined(self, known: Known, key: Any, values: Iterable[Any], making: Making) -> Parts:
        """Return the parts of a value that is made of others."""
        known.begun = making.filled is not None
        return joined(known.number, key, [self.split(each) for each in values], making, known.itself)

    def constants(self, values: Iterable[tuple[Any, Any]]) -> list[Any]:
        """Return what tells named values; of them no others are made, so arrays are equal to themselves only."""
        known, self.known = self.known, self._fixed
        try:
            parts = [(name, self.split(each)) for name, each in values]
        finally:
            self.known = known
        return [(name, each.key, *map(Same, each.arrays)) for name, each in parts]

    def names(self, scope: Mapping[str, Any]) -> set[str]:
        """Return the names that code has mentioned so far, to look for them in modules and classes."""
        if self._used is None:
            self._used = set(self.mentioned)
        self._asked.append(scope)
        return self.mentioned

    def is_done(self) -> bool:
        """Tell whether nothing was mentioned too late, after it was looked for."""
        if self.mentioned & COMPUTED:
            self.mentioned |= self.spelled
        late = set() if self._used is None else self.mentioned - self._used
        everywhere = late & (COMPUTED | _OF_ITSELF)
        return not everywhere and not any(name in scope for scope in self._asked for name in late)

    def split_function(self, f: FunctionType, known: Known) -> Parts:
        """Take apart a function: cells, defaults, attributes, and globals that it mentions."""
        code, name, qualified, scope = f.__code__, f.__name__, f.__qualname__, f.__globals__
        if self._globals is None and not _is_of_library(scope):
            self._globals, self._root = scope, str(scope.get("__name__")).partition(".")[0]
        names = names_in(code)
        self.mentioned.update(names)
        followed = scope is self._globals or is_own(scope, self._root)
        own = [each for each in names if each in scope] if followed else []
        imported = imported_in(names, scope)
        filled = [_is_filled(cell) for cell in f.__closure__ or ()]
        inside = [cell.cell_contents for cell in f.__closure__ or () if _is_filled(cell)]
        named, attributes = list(f.__kwdefaults__ or ()), list(vars(f))
        counts = len(inside), len(own), len(named)

        def begin() -> FunctionType:
            made = FunctionType(code, dict(scope), name, None, tuple(CellType() for _ in filled))
            made.__qualname__ = qualified
            return made

        def fill(made: FunctionType, defaults: Any, *found: Any) -> None:
            rest = iter(found)
            contents, outside, keywords = (islice(rest, count) for count in counts)
            for cell, each in zip(compress(made.__closure__ or (), filled), contents, strict=True):
                cell.cell_contents = each
            made.__globals__.update(zip(own, outside, strict=True))
            made.__defaults__, made.__kwdefaults__ = defaults, dict(zip(named, keywords, strict=True)) or None
            made.__dict__.update(zip(attributes, rest, strict=True))

        values = [scope[each] for each in own]
        changes = bool(inside) or not all(isinstance(each, _LASTING) for each in values)
        key = (code, id(scope), *filled, *own, *named, *attributes, *(self.constants(imported) if imported else ()))
        parts = [
            f.__defaults__,
            *inside,
            *values,
            *map((f.__kwdefaults__ or {}).get, named),
            *map(vars(f).get, attributes),
        ]
        return self.joined(known, key, parts, Making(begin, fill, changes=changes))

    def split_module(self, value: ModuleType, known: Known) -> Parts:
        """Take apart a module: what the code that was seen so far mentions of it."""
        scope = vars(value)
        names = sorted(scope.keys() & self.names(scope)) if is_own(scope, self._root) else []
        if not names:
            return constant(value)

        def begin() -> ModuleType:
            made = ModuleType(value.__name__)
            made.__dict__.update(scope)
            return made

        def fill(made: ModuleType, *found: Any) -> None:
            made.__dict__.update(zip(names, found, strict=True))

        return self.joined(known, (Same(value), *names), [scope[each] for each in names], Making(begin, fill))

    def split_class(self, value: type) -> Parts:
        """Take apart a class, whose arrays are constants: it cannot be made of others."""
        if id(value) in self._classes or not is_written(value):
            return constant(value)
        self._classes[id(value)] = value
        held = data_of(value)
        return constant(
            value, *self.constants(held.items()), *self.methods(value, held), *self.methods(type(value), {})
        )

    def methods(self, kind: type, seen: dict[str, Any]) -> list[Any]:
        """Return what tells the code of a class and its bases that may be called, and data but for what is `seen`.

        That is each function of a name that code mentions, and those that are called without a mention: operators,
        conversions, iteration, and by `super()` those of bases.
        """
        if id(kind) in self._kinds:
            return []
        self._kinds[id(kind)] = kind
        found = []
        for level, (_, scope) in enumerate(written(kind)):
            if is_own_class(scope, self._root):
                names = self.names(scope)
                every, itself = bool(names & COMPUTED), bool(names & _OF_ITSELF)
                for name, value in scope.items():
                    if is_data(name, value):
                        found += [(level, name, value)] if itself or seen.get(name, seen) is not value else []
                    elif every or name in names or is_special(name):
                        found += [(level, name, each) for each in functions_of(value) if id(each) not in self.bound]
        return self.constants(((level, name), each) for level, name, each in found) if found else []

    def statics(self, value: Any, structure: Any) -> Iterator[Any]:
        """Yield what tells the static part of a node of a tree, which is compared as a whole, but not as it is now."""
        held = structure.node_data()[1]
        pending = [vars(value)] if held is value and hasattr(value, "__dict__") else [held]
        while pending:
            each = pending.pop()
            if isinstance(each, tuple):
                pending += each
            elif not (is_plain(each) or isinstance(each, type)):
                ((_, key, *arrays),) = self.constants([(None, each)])
                if arrays or not isinstance(key, Same):
                    yield key, *arrays

    def split_object(self, value: Any, known: Known) -> Parts:
        """Take apart an object that is its attributes, those of its class among them."""
        kind = type(value)
        attributes = data_of(kind) | attributes_of(value)
        names = list(attributes)

        def fill(made: Any, *found: Any) -> None:
            attributes_of(made).update(zip(names, found, strict=True))

        key = (Same(kind), *names, *self.methods(kind, attributes))
        making = Making(partial(object.__new__, kind), fill, changes=bool(attributes_of(value)))
        found = self.joined(known, key, attributes.values(), making)
        if hasattr(kind, "__del__") and not found.arrays:  # a copy would close what it shares
            return constant(value, found.key)
        return found

    def split_reduced(self, value: Any, known: Known) -> Parts:
        """Take apart an object as `copy` does: sets, queues, subclasses of containers, objects with slots."""
        found = reduced(value)
        kind = self.split_class(type(value)).key
        if isinstance(value, _CACHED):
            return constant(value, *self.constants([("cached", value.__wrapped__)]))
        if isinstance(value, threading.local):
            return constant(value, kind, *self.constants(vars(value).items()))
        if isinstance(value, memoryview):
            return constant(value, value.format, value.shape, value.tobytes())
        if found is None:
            return constant(value) if isinstance(kind, Same) else constant(value, kind)
        make, (arguments, *rest) = found
        making = Making(
            lambda make, arguments: make(*arguments),
            reconstructed,
            first=2,
            changes=not is_stateless(arguments, rest),
            fails=True,
        )
        first = [self.split(make), self.split(arguments)]
        known.begun = True
        return joined(known.number, kind, [*first, *map(self.split, rest)], making, known.itself)


def is_special(name: str) -> bool:
    """Tell whether a method is called without a mention of its name."""
    return name.startswith("__") and name.endswith("__")


def _is_of_library(scope: dict[str, Any]) -> bool:
    return str(scope.get("__name__")).partition(".")[0] in LIBRARIES


def _is_filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # a name that is assigned later
        return False
    return True
