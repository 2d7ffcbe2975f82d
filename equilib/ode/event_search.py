"""Search for the events of a step: where functions change their sign, to rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np

from equilib.ode.events import Event

PLACES = (1 / 64, 1 / 4, 1 / 2, 3 / 4)
"""Where a step is looked at, beside its ends: two zeros between two places go unseen. The first is for what begins
beside a zero, as a ball does that bounces.
"""

ITERATIONS = 100
"""Points looked at for one zero, at most; about ten are."""

Values: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Maps times in a step, shape (lanes,), to the values of all events there, shape (events, lanes)."""


class Occurrence(NamedTuple):
    """An event that lanes come to in a step: its number, and when, shape (lanes,), nan in the other lanes."""

    event: int
    t: np.ndarray


class EventSearch:
    """The events of an integration, step by step; `before`, shape (events, lanes), are their values at its start.

    An event occurs where its g, which was not zero, is zero or has another sign: not at the initial time, and not
    again where g stays zero.
    """

    def __init__(self, events: Sequence[Event], before: np.ndarray) -> None:
        self._events, self._before = events, before

    def step(
        self, start: np.ndarray, end: np.ndarray, values: Values, last: np.ndarray
    ) -> tuple[list[Occurrence], np.ndarray]:
        """Return what occurs in a step, of each event in order, and when lanes end by it, shape (lanes,), else nan.

        `start` and `end`, shape (lanes,), are equal in lanes that rest; `last` are the values at the end.
        """
        last = np.where(start == end, self._before, last)
        between = [start + (end - start) * place for place in PLACES]
        looks = [(start, self._before), *((t, values(t)) for t in between), (end, last)]
        self._before, direction = last, np.sign(end - start)
        found = [each for number in range(len(self._events)) for each in self._of(number, looks, values)]
        ends = [direction * each.t for each in found if self._events[each.event].terminal]
        limit = direction * np.fmin.reduce([np.full(start.shape, np.nan), *ends])
        seen = [np.where(direction * (each.t - limit) > 0, np.nan, each.t) for each in found]
        kept = [each._replace(t=t) for each, t in zip(found, seen, strict=True) if not np.isnan(t).all()]
        return kept, limit

    def _of(self, number: int, looks: list[tuple[np.ndarray, np.ndarray]], values: Values) -> Iterator[Occurrence]:
        direction = self._events[number].direction
        for (a, before), (b, after) in pairwise(looks):
            ga, gb = before[number], after[number]
            crossed = ((ga < 0) & (gb >= 0) & (direction >= 0)) | ((ga > 0) & (gb <= 0) & (direction <= 0))
            if crossed.any():
                t = zero_between(lambda t: values(t)[number], np.where(crossed, a, b), b, ga, gb)
                yield Occurrence(number, np.where(crossed, t, np.nan))


def zero_between(
    g: Callable[[np.ndarray], np.ndarray], a: np.ndarray, b: np.ndarray, ga: np.ndarray, gb: np.ndarray
) -> np.ndarray:
    """Return where g, whose values at a and b are given, is zero or first has b's sign, shape (lanes,).

    Chandrupatla's method (Advances in Engineering Software 28 (1997), 145-149), all lanes together: inverse quadratic
    interpolation where the last three points allow it, else bisection. Lanes with a = b rest. What it returns is exact
    but for the rounding of a and b.
    """
    smallest = 2 * np.finfo(np.float64).eps * np.maximum(np.abs(a), np.abs(b))
    side = np.where(gb == 0, -np.sign(ga), np.sign(gb))
    x, f, other, g_other, share = b, gb, a, ga, np.full(a.shape, 0.5)
    for _ in range(ITERATIONS):
        width = np.abs(other - x)
        searching = (width > smallest) & (f != 0) & (g_other != 0)
        if not searching.any():
            break
        least = smallest / np.where(searching, width, np.inf) / 2
        tried = np.where(searching, x + np.clip(share, least, 1 - least) * (other - x), x)
        value = np.where(searching, g(tried), f)
        same = (value * side >= 0) == (f * side >= 0)
        third, g_third = np.where(same, x, other), np.where(same, f, g_other)
        other, g_other = np.where(same, other, x), np.where(same, g_other, f)
        x, f = tried, value
        share = _interpolated(x, f, other, g_other, third, g_third)
    return np.where(f * side >= 0, x, other)


def _interpolated(
    x1: np.ndarray, f1: np.ndarray, x2: np.ndarray, f2: np.ndarray, x3: np.ndarray, f3: np.ndarray
) -> np.ndarray:
    """Return where between x1 and x2, from 0 to 1, to look next; x3 is the point before."""
    with np.errstate(all="ignore"):
        xi, phi = (x1 - x2) / (x3 - x2), (f1 - f2) / (f3 - f2)
        trusted = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
        share = f1 / (f2 - f1) * f3 / (f2 - f3) + (x3 - x1) / (x2 - x1) * f1 / (f3 - f1) * f2 / (f3 - f2)
    return np.where(trusted & np.isfinite(share), share, 0.5)
