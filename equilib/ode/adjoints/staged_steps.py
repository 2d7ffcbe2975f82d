"""Steps whose integrator carries cotangents back itself."""

from __future__ import annotations

import numpy as np

from equilib.arrays import Array
from equilib.ode.adjoints.course import Course
from equilib.ode.adjoints.slopes import Slopes
from equilib.ode.flow import Flow, FlowPoint
from equilib.ode.integrator import StagedIntegrator, StepCotangents
from equilib.ode.outputs import lane_times, passed_outputs
from equilib.ode.solution import OdeSolution, State


class StagedSteps:
    """The accepted steps of a solution, to go back through."""

    def __init__(
        self,
        integrator: StagedIntegrator,
        solution: OdeSolution,
        flow: Flow,
        course: Course,
        slopes: Slopes,
        states: list[State],
    ) -> None:
        self._integrator, self._solution, self._flow, self._slopes = integrator, solution, flow, slopes
        self._course, self._states, self._outputs = course, states, lane_times(solution.t, flow.lanes)

    def pull(self, cotangent: Array) -> Array:
        """Return the cotangent of y(t₀), as the first value of the steps, for `cotangent` of the outputs."""
        records = self._solution.record
        t0 = self._outputs[0]
        y_bar: Array = self._flow.zeros()
        dy_bar: Array | None = None
        for place in reversed(range(len(records))):
            t, begins = records[place - 1].t if place else t0, self._course.enter(place)
            y_bar, dy_bar = self._pull_step(place, t, y_bar, dy_bar, cotangent)
            if begins:
                _, pull = self._slopes.linearize(t, self._states[place][0])
                y_bar, dy_bar = y_bar + pull(dy_bar), None
        return y_bar

    def _pull_step(
        self, place: int, t: np.ndarray, y_bar: Array, dy_bar: Array | None, cotangent: Array
    ) -> tuple[Array, Array]:
        """Return the cotangents of y and y' before a step."""
        flow, record, (y, dy, _) = self._flow, self._solution.record[place], self._states[place]
        inside: list[tuple[np.ndarray, Array]] = []
        for output, at_end, within in passed_outputs(t, record.t, self._outputs):
            bar = cotangent[output, ...]
            if at_end.any():
                y_bar = y_bar + flow.select(at_end, bar, flow.zeros())
            if within.any():
                length = np.where(within, record.t - t, 1.0)
                theta = np.where(within, (self._outputs[output] - t) / length, 0.0)
                inside.append((theta, flow.select(within, bar, flow.zeros())))
        pull_step, start = self._integrator.pull_step, FlowPoint(t, y, dy)
        if record.accepted.all():
            return pull_step(flow, self._slopes.linearize, start, record.h, StepCotangents(y_bar, dy_bar, inside))
        # Lanes that did not accept the step are where they were.
        zeros = flow.zeros()
        old = (y_bar, zeros if dy_bar is None else dy_bar)
        moved_y, moved_dy = (flow.select(record.accepted, bar, zeros) for bar in old)
        new = pull_step(flow, self._slopes.linearize, start, record.h, StepCotangents(moved_y, moved_dy, inside))
        y_bar, dy_bar = (a + flow.select(record.accepted, zeros, b) for a, b in zip(new, old, strict=True))
        return y_bar, dy_bar
