"""Schemas of records: annotations, held against the values that are there."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, TypeAlias

Flaw: TypeAlias = str | None
"""What of a value is not as it should be, in words; None where all is."""

_Test: TypeAlias = Callable[[Any, str], Flaw]


def flaw(value: object, annotation: Any, place: str) -> Flaw:
    """Return what of a value, which stands at `place`, is not as an annotation says; None where all is.

    Annotations are classes, unions, Literal, lists, tuples, mappings and TypedDict, whose other keys may hold anything.
    A number is no truth value, and an int is a float.
    """
    return _test(annotation)(value, place)


def check_fields(record: Any) -> None:
    """Require of a dataclass that its fields hold what their annotations say; raises TypeError if one does not."""
    for name, test in _tests_of(record.__class__).items():
        found = test(getattr(record, name), name)
        if found is not None:
            raise TypeError(f"{type(record).__name__}: {found}")


@cache
def _tests_of(cls: Any) -> dict[str, _Test]:
    hints = typing.get_type_hints(cls)
    return {field.name: _test(hints[field.name]) for field in fields(cls)}


@cache
def _test(annotation: Any) -> _Test:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (Any, object):
        return lambda value, place: None
    if origin in (typing.Required, typing.NotRequired):
        return _test(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _any_of([_test(each) for each in arguments], annotation)
    if origin is typing.Literal:
        return _accepts(lambda value: value in arguments and type(value) in map(type, arguments), annotation)
    if typing.is_typeddict(annotation):
        return _typed_dict(annotation)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(origin, *map(_test, arguments))
    if origin is not None and issubclass(origin, Sequence):
        several = origin is not tuple or Ellipsis in arguments
        return _sequence(origin, _test(arguments[0]), None if several else len(arguments))
    kind = types.NoneType if annotation is None else origin or annotation
    numbers = {float: (int, float), int: (int,)}
    if kind in numbers:
        return _accepts(lambda value: isinstance(value, numbers[kind]) and not isinstance(value, bool), kind)
    return _accepts(lambda value: isinstance(value, kind), kind)


def _accepts(holds: Callable[[Any], bool], annotation: Any) -> _Test:
    said = annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
    said = "nothing" if said == "NoneType" else said
    return lambda value, place: None if holds(value) else f"{place!r} is {_shown(value)}, not {said}"


def _shown(value: object) -> str:
    try:
        return f"{value!r:.40}"
    except Exception:  # of an object of somebody else's
        return f"a {type(value).__name__}"


def _any_of(tests: Sequence[_Test], annotation: Any) -> _Test:
    def test(value: Any, place: str) -> Flaw:
        found = [each(value, place) for each in tests]
        if None in found:
            return None
        # The flaw that lies deepest is that of the kind which was meant.
        return max((each for each in found if each), key=lambda each: each.partition(" is ")[0].count("."))

    return test


def _typed_dict(annotation: Any) -> _Test:
    hints = typing.get_type_hints(annotation, include_extras=True)
    tests = {name: _test(hint) for name, hint in hints.items()}
    # Not __required_keys__, which knows no annotation that is text, as all are under `from __future__`.
    required = {name for name, hint in hints.items() if annotation.__total__ and _is_required(hint)}
    is_object = _accepts(lambda value: isinstance(value, dict), dict)

    def test(value: Any, place: str) -> Flaw:
        wrong = is_object(value, place or "it")
        if wrong:
            return wrong
        missing = sorted(required - value.keys())
        if missing:
            return f"{_within(place, missing[0])!r} is missing"
        found = (each(value[name], _within(place, name)) for name, each in tests.items() if name in value)
        return next(filter(None, found), None)

    return test


def _is_required(hint: Any) -> bool:
    return typing.get_origin(hint) is not typing.NotRequired


def _mapping(origin: type, key: _Test, value_of: _Test) -> _Test:
    is_mapping = _accepts(lambda value: isinstance(value, origin), origin)

    def test(value: Any, place: str) -> Flaw:
        found = (key(name, place) or value_of(each, _within(place, str(name))) for name, each in value.items())
        return next(filter(None, found), None)

    return lambda value, place: is_mapping(value, place) or test(value, place)


def _sequence(origin: type, item: _Test, length: int | None) -> _Test:
    is_sequence = _accepts(lambda value: isinstance(value, origin), origin)

    def test(value: Any, place: str) -> Flaw:
        if length is not None and len(value) != length:
            return f"{place!r} is {_shown(value)}, not a tuple of {length}"
        return next(filter(None, (item(each, _within(place, str(n))) for n, each in enumerate(value))), None)

    return lambda value, place: is_sequence(value, place) or test(value, place)


def _within(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
