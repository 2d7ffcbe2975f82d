"""Steps that are differentiated by tracing them: any integrator's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from equilib.arrays import Array, Tree, from_host, rows_like, tree_map, zeros_like
from equilib.ode.adjoints.slopes import Slopes
from equilib.ode.flow import Flow, FlowPoint
from equilib.ode.integrator import Integrator, Memory, Step
from equilib.ode.outputs import lane_times, write_outputs
from equilib.ode.solution import OdeSolution, State

if TYPE_CHECKING:
    from equilib.autodiff import Linearized


class TracedSteps:
    """The accepted steps of a solution, to go back through."""

    def __init__(
        self, integrator: Integrator, solution: OdeSolution, plain: Flow, slopes: Slopes, states: list[State]
    ) -> None:
        from equilib.ops import weighted_sum

        self._integrator, self._solution, self._slopes, self._states = integrator, solution, slopes, states
        self._outputs = times = lane_times(solution.t, plain.lanes)
        # The times at which each step begins, and the end.
        self._times = [times[0], *(record.t for record in solution.record)]
        self._flow = Flow(self._slope, plain.zeros(), plain.lanes, plain.error_norm, _traced_select, weighted_sum)

    def pull(self, cotangent: Array) -> Array:
        """Return the cotangent of y(t₀), as the first value of the steps, for `cotangent` of the outputs."""
        from equilib.autodiff import linearize

        bars: State | None = None
        for place in reversed(range(len(self._solution.record))):
            linear, written = self._linearize(place)
            if bars is None:
                bars = tree_map(zeros_like, linear.value[0])
            y_bar, rest = linear.vjp((bars, [cotangent[index, ...] for index in written]), argnums=(0, 1))
            bars = (y_bar, *rest)
        (y_bar,) = linearize(self._start, self._states[0][0]).vjp(bars)
        return y_bar

    def _slope(self, t: np.ndarray, y: Array) -> Array:
        from equilib.autodiff import static_value
        from equilib.autodiff.custom import with_pullback

        value, pull = self._slopes.linearize(t, static_value(y))
        return with_pullback(value, lambda cotangent: (pull(cotangent),), y)

    def _start(self, y: Array) -> State:
        point = FlowPoint(self._times[0], y, self._flow(self._times[0], y))
        return y, point.dy, self._integrator.begin(self._flow, point).arrays

    def _step(self, place: int, state: State) -> tuple[State, dict[int, Array]]:
        """Return the state after a step, and y at the output times that it passed, by their index."""
        flow, integrator, record = self._flow, self._integrator, self._solution.record[place]
        y, dy, arrays = state
        start, memory = FlowPoint(self._times[place], y, dy), Memory(arrays, record.plan)
        attempt = integrator.attempt(flow, start, record.h, memory)
        end, kept = integrator.advance(flow, start, record.t, attempt, record.accepted, memory)
        step = Step(start=start, end=end, h=record.h, accepted=record.accepted, attempt=attempt, memory=memory)
        nothing = [flow.zeros() for _ in self._outputs]
        outputs = write_outputs(flow, integrator, step, self._outputs, nothing)
        written = {index: new for index, (new, old) in enumerate(zip(outputs, nothing, strict=True)) if new is not old}
        return (end.y, end.dy, kept.arrays), written

    def _linearize(self, place: int) -> tuple[Linearized, list[int]]:
        """Return a step as a map (y, rest of the state) to (state, outputs), and the outputs' indices."""
        from equilib.autodiff import linearize

        indices: list[int] = []

        def traced(y: Array, rest: tuple[Array, tuple[Array, ...]]) -> Tree:
            after, written = self._step(place, (y, *rest))
            indices.extend(written)
            return after, list(written.values())

        y, *rest = self._states[place]
        return linearize(traced, y, tuple(rest)), indices


def _traced_select(mask: np.ndarray, chosen: Array, other: Array) -> Array:
    from equilib import ops
    from equilib.autodiff import static_value

    like = static_value(chosen)
    return ops.where(rows_like(from_host(mask, like), like), chosen, other)
