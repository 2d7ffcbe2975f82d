"""Stops of an integration, the times at which f is not smooth, and the stretches between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from equilib.ode.grids import ordered


@dataclass(frozen=True)
class Stretch:
    """The time from `start` to `end` of each lane, in which f is smooth; all arrays have the shape (lanes,).

    Where an end is a stop, f is evaluated from `least` to `greatest` only, a float inside of it. So a step before a
    jump of f sees the values before it, one after it those after, whichever way time goes.
    """

    start: np.ndarray
    end: np.ndarray
    least: np.ndarray
    greatest: np.ndarray
    bounded: bool

    @classmethod
    def between(cls, start: np.ndarray, end: np.ndarray, stops: Sequence[float]) -> Stretch:
        """Return the stretch from start to end, shape (lanes,), with no stop between them."""
        after, before = np.isin(start, stops), np.isin(end, stops)
        first, last = np.where(after, np.nextafter(start, end), start), np.where(before, np.nextafter(end, start), end)
        return cls(start, end, np.minimum(first, last), np.maximum(first, last), bool(np.any(after | before)))

    def inside(self, t: np.ndarray) -> np.ndarray:
        """Return the times t, shape (lanes,), within the bounds."""
        return np.clip(t, self.least, self.greatest) if self.bounded else t


def stretches(times: np.ndarray, stops: Sequence[float]) -> list[Stretch]:
    """Return the stretches of output times, shape (times, lanes), in the order in which they are integrated.

    Where a lane has fewer of them than another, its last ones are empty.
    """
    ends = times[[0, -1]]
    if not stops:
        return [Stretch(times[0], times[-1], ends.min(axis=0), ends.max(axis=0), bounded=False)]
    cuts = ordered(ends, np.asarray(stops))
    return [Stretch.between(start, end, stops) for start, end in pairwise(cuts)]
