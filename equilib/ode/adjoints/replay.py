"""Steps of an integration replayed by operations that are traced, with their sizes as constants."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equilib.arrays import Array, from_host, rows_like, zeros_like
from equilib.fixed_points.linearization import Linearization
from equilib.ode.adjoints.course import Course
from equilib.ode.flow import Flow, FlowPoint, ImplicitSlope
from equilib.ode.integrator import Integrator, Memory, Step
from equilib.ode.outputs import lane_times, unwritten, write_outputs
from equilib.ode.solution import OdeSolution, State


class Replay:
    """The accepted steps of a solution as functions of the state before each of them.

    Parameters
    ----------
    integrator : Integrator
    solution : OdeSolution
    course : Course
        The stretches of its steps.
    f : callable
        Maps times, shape (lanes,), and y, which is traced, to y'.
    linearize, implicit : callable
        As those of `Flow`.
    """

    def __init__(
        self,
        integrator: Integrator,
        solution: OdeSolution,
        course: Course,
        f: Callable[[np.ndarray, Array], Array],
        linearize: Callable[[np.ndarray, Array], Linearization],
        implicit: ImplicitSlope,
    ) -> None:
        from equilib.autodiff import static_value
        from equilib.ops import weighted_sum

        like = zeros_like(solution.y[0, ...])
        lanes = like.shape[0] if solution.options.per_sample else 1
        accepting = np.zeros(lanes)
        self._integrator, self._record = integrator, solution.record
        self.outputs = lane_times(solution.t, lanes)
        # The times at which each step begins, and the end.
        self._times = [self.outputs[0], *(record.t for record in solution.record)]
        self.course, accept = course, lambda error, start, y: accepting
        self._flow = Flow(
            lambda t, y: f(course.inside(t), y),
            like,
            lanes,
            accept,
            traced_select,
            weighted_sum,
            linearize,
            static_value,
            implicit,
        )

    def start(self, place: int, y: Array) -> State:
        """Return the state before a step that begins a stretch."""
        t = self._times[place]
        point = FlowPoint(t, y, self._flow(t, y))
        return y, point.dy, self._integrator.begin(self._flow, point).arrays

    def step(self, place: int, state: State, outputs: list[Array]) -> tuple[State, list[Array]]:
        """Return the state after a step, and `outputs` with y at those times that it passed."""
        y, dy, arrays = state
        record = self._record[place]
        start, memory = FlowPoint(self._times[place], y, dy), Memory(arrays, record.plan)
        attempt = self._integrator.attempt(self._flow, start, record.h, memory)
        end, kept = self._integrator.advance(self._flow, start, record.t, attempt, record.accepted, memory)
        step = Step(start=start, end=end, h=record.h, accepted=record.accepted, attempt=attempt, memory=memory)
        written = write_outputs(self._flow, self._integrator, step, self.outputs, outputs)
        return (end.y, end.dy, kept.arrays), written

    def nothing(self) -> list[Array]:
        """Return zeros for y at each of the output times."""
        return [self._flow.zeros() for _ in self.outputs]

    def all_steps(self, y: Array) -> Array:
        """Return y at the output times, shape (times, batch, ...), from y(t₀)."""
        from equilib import ops

        outputs, state = unwritten(self._flow, y, self.outputs), (y, y, ())
        for place in range(len(self._record)):
            if self.course.enter(place):
                state = self.start(place, state[0])
            state, outputs = self.step(place, state, outputs)
        return ops.stack(outputs)


def traced_select(mask: np.ndarray, chosen: Array, other: Array) -> Array:
    """Take the samples where `mask`, shape (batch,), is true from `chosen`, the rest from `other`."""
    from equilib import ops
    from equilib.autodiff import static_value

    like = static_value(chosen)
    return ops.where(rows_like(from_host(mask, like), like), chosen, other)
