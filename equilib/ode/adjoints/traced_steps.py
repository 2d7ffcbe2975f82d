"""Steps that are differentiated by tracing them: any integrator's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from equilib.arrays import Array, Tree, tree_map, zeros_like
from equilib.ode.adjoints.course import Course
from equilib.ode.adjoints.replay import Replay
from equilib.ode.adjoints.slopes import Slopes
from equilib.ode.flow import Flow
from equilib.ode.integrator import Integrator
from equilib.ode.solution import OdeSolution, State

if TYPE_CHECKING:
    from equilib.autodiff import Linearized


class TracedSteps:
    """The accepted steps of a solution, to go back through."""

    def __init__(
        self,
        integrator: Integrator,
        solution: OdeSolution,
        plain: Flow,
        course: Course,
        slopes: Slopes,
        states: list[State],
    ) -> None:
        from equilib.ode.adjoints.implicit_stages import once_differentiable

        self._slopes, self._states = slopes, states
        self._replay = Replay(
            integrator, solution, course, self._slope, plain.linearize, once_differentiable(plain, slopes.linearize)
        )

    def pull(self, cotangent: Array) -> Array:
        """Return the cotangent of y(t₀), as the first value of the steps, for `cotangent` of the outputs."""
        from equilib.autodiff import linearize

        bars: State | None = None
        y_bar: Array = self._replay.nothing()[0]
        for place in reversed(range(len(self._states))):
            begins = self._replay.course.enter(place)
            linear, written = self._linearize(place)
            if bars is None:
                bars = (y_bar, *tree_map(zeros_like, linear.value[0][1:]))
            y_bar, rest = linear.vjp((bars, [cotangent[index, ...] for index in written]), argnums=(0, 1))
            bars = (y_bar, *rest)
            if begins:
                start = linearize(partial(self._replay.start, place), self._states[place][0])
                (y_bar,) = start.vjp(bars)
                bars = None
        return y_bar

    def _slope(self, t: np.ndarray, y: Array) -> Array:
        from equilib.autodiff import static_value
        from equilib.autodiff.custom import with_pullback

        linear, pull = self._slopes.linearize(t, static_value(y))
        return with_pullback(linear.value, lambda cotangent: (pull(cotangent),), y)

    def _linearize(self, place: int) -> tuple[Linearized, list[int]]:
        """Return a step as a map (y, rest of the state) to (state, outputs), and the outputs' indices."""
        from equilib.autodiff import linearize

        indices: list[int] = []

        def traced(y: Array, rest: tuple[Array, tuple[Array, ...]]) -> Tree:
            nothing = self._replay.nothing()
            after, outputs = self._replay.step(place, (y, *rest), nothing)
            written = {i: new for i, (new, old) in enumerate(zip(outputs, nothing, strict=True)) if new is not old}
            indices.extend(written)
            return after, list(written.values())

        y, *rest = self._states[place]
        return linearize(traced, y, tuple(rest)), indices
