"""A schema names the first value that is not as its annotation says, by its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

import pytest

from equilib.options.schema import check_fields, flaw


class Part(TypedDict):
    """A part of a record."""

    name: str
    options: NotRequired[dict[str, int | None]]


class Unreadable:
    """An object that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (1, int, None),
        (True, int, "'x' is True, not int"),
        (1, float, None),
        (1.5, int, "'x' is 1.5, not int"),
        ("1", float, "'x' is '1', not float"),
        (None, str | None, None),
        (3, str | None, "'x' is 3, not"),
        ("a", Literal["a", "b"], None),
        ("c", Literal["a", "b"], "'x' is 'c', not Literal['a', 'b']"),
        (1, Literal[True], "'x' is 1, not"),
        ([1, "2"], list[int], "'x.1' is '2', not int"),
        ((1, 2), list[int], "'x' is (1, 2), not list"),
        ((1, 2), tuple[int, ...], None),
        ("ab", tuple[str, ...], "'x' is 'ab', not tuple"),
        ({"a": {"b": "c"}}, Mapping[str, dict[str, int]], "'x.a.b' is 'c', not int"),
        ({1: 2}, Mapping[str, int], "'x' is 1, not str"),
        ({"name": "a", "more": [object()]}, Part, None),
        ({}, Part, "'x.name' is missing"),
        ({"name": "a", "options": {"b": "c"}}, Part | None, "'x.options.b' is 'c', not"),
        ([], Part, "'x' is [], not dict"),
        (int, type[Any] | str, None),
        (Unreadable(), str, "'x' is a Unreadable, not str"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_the_place_and_the_kind_are_told(value: object, annotation: Any, expected: str | None) -> None:
    """None where all is as it should be; else where it is not, what stands there, and what should."""
    found = flaw(value, annotation, "x")
    assert found == expected if expected is None else str(found).startswith(expected)


def test_a_dataclass_is_held_to_its_annotations() -> None:
    """Its fields are checked, those of its ancestors too."""

    @dataclass
    class Base:
        n: int

    @dataclass
    class More(Base):
        names: tuple[str, ...] = ()

    check_fields(More(1, ("a",)))
    with pytest.raises(TypeError, match=r"^More: 'names\.1' is 2, not str$"):
        check_fields(More(1, ("a", 2)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^More: 'n' is 'one', not int$"):
        check_fields(More("one"))  # type: ignore[arg-type]
