"""Constants of a map: what tells that one is as it was, though it may be changed in place."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

_SAMPLE = 64
"""Bytes of an array that its hash depends on."""


@dataclass(frozen=True, eq=False)
class Same:
    """The key of a value that is equal to itself only."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


@dataclass(frozen=True, eq=False)
class Contents:
    """The key of an array of NumPy's: equal to that of another with the same bytes, shape and dtype."""

    array: np.ndarray

    @classmethod
    def copied(cls, array: np.ndarray) -> Self:
        """Return the key of a copy that nobody changes."""
        kept = array.copy()
        kept.setflags(write=False)
        return cls(kept)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Contents):
            return False
        one, two = self.array, other.array
        alike = one.shape == two.shape and one.dtype == two.dtype
        return alike and bool(np.array_equal(_bytes(one), _bytes(two)))

    def __hash__(self) -> int:
        return hash(
            (
                self.array.shape,
                self.array.dtype,
                _bytes(self.array[:1] if self.array.ndim else self.array)[:_SAMPLE].tobytes(),
            )
        )


def is_plain(value: Any) -> bool:
    """Tell whether a value is of a plain type, not of one that is derived from it, which may have attributes."""
    kind = type(value)
    if kind is str or kind is int or kind is float or value is None:
        return True
    return kind is bool or kind is bytes or kind is complex


def hashable(structure: Any) -> Any:
    """Return the structure of a tree as a key: itself, but where a node has arrays of NumPy's in its static part."""
    try:
        hash(structure)
    except TypeError:
        return Same(structure)
    return structure


def plain_key(value: Any) -> Any:
    """Return the key of a value of a plain type: of a number with a point its bits, since -0.0 is not 0.0."""
    kind = type(value)
    if kind is float:
        return kind, struct.pack("d", value)
    return (kind, struct.pack("dd", value.real, value.imag)) if kind is complex else (kind, value)


def reduced(value: Any) -> tuple[Callable[..., Any], list[Any]] | None:
    """Return a function that makes the object again, and the arguments, state, items and pairs that it needs for that.

    They are those that `copy` and `pickle` ask it for. None where it does not tell, as locks and files, or is known by
    its name.
    """
    try:
        found = value.__reduce_ex__(4)
        if isinstance(found, str):
            return None
        make, arguments, state, items, pairs = (*found, None, None, None)[:5]
        lists = [None if each is None else list(each) for each in (items, pairs)]
        return make, [list(arguments), state, *lists]
    except Exception:  # whatever the object raises
        return None


def is_stateless(arguments: list[Any], rest: list[Any]) -> bool:
    """Tell whether nothing is in an object that `reduced` tells of, such as one that only marks a place."""
    return all(isinstance(each, type) for each in arguments) and all(each is None for each in rest)


def reconstructed(made: Any, state: Any, items: Any, pairs: Any) -> None:
    """Put into an object what `reduced` has told of it."""
    if state is not None and hasattr(type(made), "__setstate__"):
        made.__setstate__(state)
    elif state is not None:
        attributes, slots = state if isinstance(state, tuple) else (state, None)
        for name, each in {**(attributes or {}), **(slots or {})}.items():
            object.__setattr__(made, name, each)
    for each in items or ():
        made.append(each)
    for key, each in pairs or ():
        made[key] = each


def _bytes(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
