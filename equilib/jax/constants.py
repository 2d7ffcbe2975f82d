"""Constants of a map: what tells that one is as it was, though it may be changed in place."""

from __future__ import annotations

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


def reduced(value: Any) -> tuple[Callable[..., Any], list[Any]] | None:
    """Return a function and its arguments that make the object again, as `copy` and `pickle` ask it for.

    None where it does not tell, as locks and files, or is known by its name.
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


def reconstructed(make: Callable[..., Any], arguments: Any, state: Any, items: Any, pairs: Any) -> Any:
    """Return the object that `reduced` has told of."""
    made = make(*arguments)
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
    return made


def _bytes(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
