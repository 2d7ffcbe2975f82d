"""Values of options: the types they may have, how text becomes one, and the interval of a number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TypeAlias

Simple: TypeAlias = type[int] | type[float] | type[bool] | type[str]
"""The types that an option may have."""

_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The interval in which a number must lie; None is no bound. Raises ValueError for two bounds on one side."""

    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None

    def __post_init__(self) -> None:
        pairs = ((self.minimum, self.exclusive_minimum), (self.maximum, self.exclusive_maximum))
        if any(None not in pair for pair in pairs):
            raise ValueError("a bound is either inclusive or exclusive, not both")

    def allow(self, value: float) -> bool:
        """Tell whether `value` lies within."""
        return (
            (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
            and (self.exclusive_minimum is None or value > self.exclusive_minimum)
            and (self.exclusive_maximum is None or value < self.exclusive_maximum)
        )

    def __str__(self) -> str:
        every = {">=": self.minimum, ">": self.exclusive_minimum, "<=": self.maximum, "<": self.exclusive_maximum}
        given = [(sign, bound) for sign, bound in every.items() if bound is not None]
        if len(given) < 2:
            return "".join(f"{sign} {bound}" for sign, bound in given)
        (above, lower), (below, upper) = given
        return f"in {'[' if above == '>=' else '('}{lower}, {upper}{']' if below == '<=' else ')'}"


def _to_int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, str | Integral):
        raise ValueError(value)
    return int(value)


def _to_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | Real):
        raise ValueError(value)
    number = float(value)
    if math.isnan(number):
        raise ValueError(value)
    return number


def _to_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUTH:
        return _TRUTH[value.lower()]
    raise ValueError(value)


def _to_str(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(value)


CONVERT: dict[object, Callable[[object], object]] = {int: _to_int, float: _to_float, bool: _to_bool, str: _to_str}
"""For each of the types, what makes it from a Python value or its text; raises ValueError where it cannot."""
