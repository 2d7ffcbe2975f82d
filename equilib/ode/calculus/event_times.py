"""Events of an integration as differentiable functions: the time t* of each occurrence, and the state there.

Where g(t*, y(t*)) = 0, dt* = −(g_y dy + g_p dp)/(g_t + g_y f), with dy at the time as it is, and the state moves by
dy + f dt* (the implicit function theorem).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from equilib import ops
from equilib.arrays import Array, array_namespace, coefficients, from_host, rows_like, tree_leaves
from equilib.autodiff import Linearized, static_value, stop_gradient
from equilib.autodiff.custom import Refused, with_pullback
from equilib.fixed_points.boundary import traced
from equilib.ode.events import Event, EventRecord
from equilib.ode.flow import time_like
from equilib.ode.grids import Subgrid, ordered
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeSolution

FIRST_ONLY = "an integration with events has first derivatives in reverse mode only; take vjp or value_and_grad"
"""Why there is no other derivative."""


def with_event_times(solution: OdeSolution, asked: np.ndarray) -> tuple[OdeSolution, Subgrid]:
    """Return the solution with the times of events among the output times, and where those asked for are now.

    The end of each sample is where it ended. Of the subgrid the first times are those asked for, shape (times,) or
    (times, batch), and then come the occurrences of each event.
    """
    batch = len(solution.status)
    known, first = (np.broadcast_to(each.reshape(len(each), -1), (len(each), batch)) for each in (solution.t, asked))
    direction = np.where(known[-1] >= known[0], 1.0, -1.0)
    until = direction * np.minimum(direction * known, direction * solution.reached)
    occurrences = [record.t for record in solution.events]
    grid = ordered(until, np.concatenate(occurrences))
    xp = array_namespace(solution.y)
    states = xp.concat([solution.y, *(record.y for record in solution.events)])
    y = Subgrid(grid, np.concatenate([known, *occurrences])).take(states)
    within = np.where(direction * (first - solution.reached) > 0, np.nan, first)
    return replace(solution, t=grid, y=y), Subgrid(np.concatenate([within, *occurrences]), grid)


def differentiable_record(problem: OdeProblem, event: Event, record: EventRecord, y: Array) -> EventRecord:
    """Return the record of an event as functions of the solution at its times, and of the event's inputs.

    `problem` has constants for inputs; `y`, shape (occurrences, batch, ...), which may be traced, is the solution at
    the times of the record, and any finite one where it has none.
    """
    places = [_Occurrence(problem, event, t, ops.getitem(y, (row, ...))) for row, t in enumerate(np.asarray(record.t))]
    if not places:
        return replace(record, t=from_host(record.t, static_value(y)))
    return replace(record, t=ops.stack([each.time for each in places]), y=ops.stack([each.state for each in places]))


@dataclass(frozen=True, eq=False)
class _Occurrence:
    """One occurrence in each sample, at the times t, shape (batch,), nan where there is none."""

    problem: OdeProblem
    event: Event
    t: np.ndarray
    y: Array

    @property
    def time(self) -> Array:
        """The time, an array of shape (batch,) of the dtype of y."""
        value = coefficients(self.t, self._at[1])
        return with_pullback(value, self._pull_time, *self._sources, differential=Refused(FIRST_ONLY))

    @property
    def state(self) -> Array:
        """The state, an array like y, nan where there is none."""
        y = self._at[1]
        value = y + rows_like(coefficients(np.where(self._occurs, 0.0, np.nan), y), y)
        return with_pullback(value, self._pull_state, *self._sources, differential=Refused(FIRST_ONLY))

    @property
    def _sources(self) -> Sequence[Array]:
        return [self.y, *tree_leaves(self.event.inputs)]

    @property
    def _occurs(self) -> np.ndarray:
        return np.asarray(~np.isnan(self.t))

    @cached_property
    def _at(self) -> tuple[np.ndarray, Array]:
        return np.where(self._occurs, self.t, self.t[self._occurs][0]), static_value(self.y)

    @cached_property
    def _slope(self) -> Array:
        return self.problem.at(*self._at)

    @cached_property
    def _linear(self) -> Linearized:
        t, y = self._at
        return traced(Linearized, self.event.g, time_like(t, y), y, *stop_gradient(self.event.inputs), name="g")

    @cached_property
    def _rate(self) -> Array:
        """−1/(g_t + g_y f), 0 where the event does not occur."""
        t, y = self._at
        xp, ones = array_namespace(y), time_like(np.ones_like(t), y)
        rate, occurs = self._linear.push([ones, self._slope], (0, 1)), from_host(self._occurs, y)
        return xp.where(occurs, -1 / xp.where(occurs, rate, xp.ones_like(rate)), xp.zeros_like(rate))

    def _pull_time(self, cotangent: Array) -> Sequence[Array | None]:
        bars = self._linear.vjp(cotangent * self._rate, tuple(range(1, 2 + len(self.event.inputs))))
        used = self._linear.used(tuple(range(2, 2 + len(self.event.inputs))))
        leaves = zip(tree_leaves(bars[1:]), used, strict=True)
        return [bars[0], *(leaf if depends else None for leaf, depends in leaves)]

    def _pull_state(self, cotangent: Array) -> Sequence[Array | None]:
        xp, y = array_namespace(cotangent), self._at[1]
        occurs = rows_like(from_host(self._occurs, y), y)
        cotangent = xp.where(occurs, cotangent, xp.zeros_like(cotangent))
        by_time = xp.sum(xp.reshape(cotangent * self._slope, (y.shape[0], -1)), axis=1)
        y_bar, *inputs_bar = self._pull_time(by_time)
        return [cotangent + y_bar, *inputs_bar]
