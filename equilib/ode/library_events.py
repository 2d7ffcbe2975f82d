"""Search for the events of one lane that a library integrates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from equilib.libraries.coroutine import Coroutine
from equilib.ode.event_search import EventSearch
from equilib.ode.events import Event, EventLog
from equilib.ode.library import Interpolant, TimeStepper
from equilib.ode.library_segment import sample_like


class Question(NamedTuple):
    """Where a lane asks for its "slope", the values of its "events", or its "jacobian"."""

    t: float
    y: np.ndarray
    kind: str = "slope"


class LaneWatch:
    """The events of a lane, whose values are asked for as its slopes are."""

    def __init__(
        self, events: Sequence[Event], log: EventLog, lane: int, call: Coroutine[None], t: float, y: np.ndarray
    ) -> None:
        self._events, self._log, self._lane, self._call, self._before = events, log, lane, call, t
        self._search = EventSearch(events, self._values(t, y))

    def step(self, stepper: TimeStepper, interpolant: Interpolant) -> float | None:
        """Note what occurs in a step, after one whose ends are one number in both; return when the lane ends by it."""
        if stepper.t == self._before:
            return None
        start, end = np.full(1, self._before), np.full(1, stepper.t)
        last, self._before = self._values(stepper.t, stepper.y), stepper.t
        values = lambda t: self._values(float(t[0]), interpolant(float(t[0])))  # noqa: E731
        found, limit = self._search.step(start, end, values, last)
        for event, (t,) in found:
            self._log.note(event, self._lane, float(t), sample_like(interpolant(float(t)), self._log.like))
        return None if np.isnan(limit[0]) else float(limit[0])

    def _values(self, t: float, y: np.ndarray) -> np.ndarray:
        found = self._call.ask(Question(t, np.array(y), "events")) if self._events else None
        return np.full((len(self._events), 1), np.nan) if found is None else found[:, None]
