"""Values taken apart, and how they are put together of other arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from equilib.jax.constants import Same


class Given:
    """The arrays that a value is made of, in order; what was made so far, by number; and the numbers of what is kept.

    What is kept is the caller's own, as others read it too, and may ask whether it is the same object.
    """

    def __init__(self, arrays: Iterator[Any], kept: frozenset[int]) -> None:
        self.arrays = arrays
        self.made: dict[int, Any] = {}
        self.kept = kept


Rebuild = Callable[[Given], Any]


@dataclass(slots=True, eq=False)
class Parts:
    """A value taken apart: what it is but for the arrays in it, the arrays, and how to make it of others.

    It is made `anew` where there are arrays in it, or what may change in place.
    """

    key: Any
    arrays: tuple[Any, ...]
    rebuild: Rebuild
    anew: bool = False


@dataclass(slots=True, eq=False)
class Making:
    """How a value is made of others: begun with the first of them, then filled, since it may be within itself.

    What `changes` may do so in place; what may `fail` is the value itself then.
    """

    begun: Callable[..., Any]
    filled: Callable[..., Any] | None = None
    first: int | None = 0
    changes: bool = True
    fails: bool = False

    def made(self, number: int, rebuilds: list[Rebuild], given: Given) -> Any:
        """Return the value, which has the number from the moment when it is begun."""
        given.made[number] = made = self.begun(*[each(given) for each in rebuilds[: self.first]])
        if self.filled is not None:
            self.filled(made, *[each(given) for each in rebuilds[self.first :]])
        return made


def whole(making: Callable[..., Any], *, changes: bool = False) -> Making:
    """Return how to make a value that cannot be begun without all that is in it."""
    return Making(making, first=None, changes=changes)


def constant(value: Any, *keys: Any) -> Parts:
    """Return the parts of a value that is equal to itself only, while the keys are what they are."""
    same = Same(value)
    return Parts((same, *keys) if keys else same, (), lambda _: value)


def joined(number: int, key: Any, parts: list[Parts], making: Making, itself: list[Any]) -> Parts:
    """Return the parts of the one value in a list, made of others; it is itself where none of them is made anew."""
    (value,) = itself
    arrays = tuple(array for each in parts for array in each.arrays)
    anew = making.changes or any(each.anew for each in parts)
    rebuilds = [each.rebuild for each in parts]
    spare = [value] if making.fails and not arrays else []

    def rebuild(given: Given) -> Any:
        if number in given.kept:
            return itself[0]
        try:
            return making.made(number, rebuilds, given)
        except Exception:  # whatever the object raises
            if not spare:
                raise
        given.made[number] = spare[0]
        return spare[0]

    found = (key, *(each.key for each in parts))
    return Parts(found, arrays, rebuild, anew=True) if anew else Parts(found, (), _same(value))


def within(number: int, value: list[Any], *, begun: bool) -> Parts:
    """Return the parts of the one value within itself, which is the new one where that is `begun` by then."""
    key = ("again", number) if begun else ("again", number, Same(value[0]))
    return Parts(key, (), lambda given: given.made[number] if number in given.made else value[0], anew=True)


def again(number: int, found: Parts) -> Parts:
    """Return the parts of a value that was met before."""
    first = found.rebuild

    def rebuild(given: Given) -> Any:
        return given.made[number] if number in given.made else first(given)

    return Parts(("again", number), (), rebuild, anew=found.anew)


def _same(value: Any) -> Rebuild:
    return lambda _: value
