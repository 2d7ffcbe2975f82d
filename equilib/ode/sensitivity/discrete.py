"""The exact derivative of the steps that were taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from equilib.arrays import Array, array_namespace, from_host, rows_like
from equilib.errors import UserError
from equilib.ode.flow import Flow, Point, time_like
from equilib.ode.integrate import write_outputs
from equilib.ode.integrator import Integrator, Memory, Step
from equilib.ode.library import AnyIntegrator, LibraryIntegrator
from equilib.ode.problem import OdeProblem
from equilib.ode.sensitivity.protocol import OdePullback, no_derivative
from equilib.ode.solution import OdeSolution, StepRecord
from equilib.trees import Tree, tree_leaves, tree_map

if TYPE_CHECKING:
    from equilib.autodiff import Linearized


class UnseenStepsError(UserError):
    """The discrete adjoint was asked for with an integrator whose steps cannot be differentiated."""


def own_steps(integrator: AnyIntegrator) -> Integrator:
    """Return the integrator if its steps can be differentiated.

    Raises
    ------
    UnseenStepsError
        If it is a library's.
    """
    if isinstance(integrator, LibraryIntegrator):
        raise UnseenStepsError(
            f"{integrator} takes its steps out of sight, so there is no discrete adjoint for it; use "
            "interpolating, gauss or backsolve"
        )
    return integrator


@dataclass(frozen=True)
class Discrete:
    """Repeat the accepted steps and carry the cotangent back through each: discretise, then optimise.

    Exact for the computed y, whatever the tolerance, with the step sizes as constants. It keeps the state after every
    step, not the stages, and costs one more forward integration.
    """

    needs_trajectory: ClassVar[bool] = False

    def pullback(self, problem: OdeProblem, solution: OdeSolution, cotangent: Array) -> OdePullback:
        """Return the cotangents of y(t₀) and of the inputs.

        Raises
        ------
        UnseenStepsError
            If the integrator is a library's, whose steps cannot be differentiated.
        """
        integrator = own_steps(solution.integrator)
        problem = problem.fresh()
        if not solution.success:
            return no_derivative(problem, solution)
        replay = _Replay(problem, solution, integrator)
        states = replay.states()
        bars = tree_map(array_namespace(solution.y).zeros_like, states.pop())
        inputs: Tree = tree_map(lambda leaf: array_namespace(leaf).zeros_like(leaf), problem.inputs)
        for record, state in zip(reversed(solution.record), reversed(states), strict=True):
            linear, written = replay.linearize_step(record, state)
            of_outputs = [cotangent[index, ...] for index in written]
            y_bar, rest, more = linear.vjp((bars, of_outputs), argnums=(0, 1, 2))
            bars, inputs = (y_bar, *rest), tree_map(lambda a, b: a + b, inputs, more)
        y_bar, more = replay.linearize_start().vjp(bars, argnums=(0, 1))
        return OdePullback(
            y0=y_bar + cotangent[0, ...],
            inputs=tree_map(lambda a, b: a + b, inputs, more),
            nfe=problem.nfe,
            nvjp=problem.nvjp,
        )


State = tuple[Array, Array, tuple[Array, ...]]
"""y, y', and the arrays of the integrator's memory."""


class _Replay:
    """The steps of a solution, to be taken again: with plain arrays, or traced."""

    def __init__(self, problem: OdeProblem, solution: OdeSolution, integrator: Integrator) -> None:
        self.problem, self.solution, self.integrator = problem, solution, integrator
        self.y0 = solution.y[0, ...]
        self.lanes = self.y0.shape[0] if solution.options.per_sample else 1
        # The times at which each step begins, and the end.
        self.times = [np.full(self.lanes, solution.t[0]), *(record.t for record in solution.record)]
        self.places = {id(record): place for place, record in enumerate(solution.record)}

    def flow(self, inputs: Tree) -> Flow:
        """Return the flow as a function of the inputs, traced or not; its error norm accepts everything."""
        from equilib.autodiff import static_value
        from equilib.autodiff.custom import with_pullback

        def f(t: np.ndarray, y: Array) -> Array:
            value = static_value(y)
            if value is y:
                return self.problem.at(t, y)
            linear = self.problem.linearize(time_like(t, value), value)

            def pullback(cotangent: Array) -> Sequence[Array]:
                y_bar, inputs_bar = linear.pull(cotangent)
                return [y_bar, *tree_leaves(inputs_bar)]

            return with_pullback(linear.value, pullback, y, *tree_leaves(inputs))

        return Flow(f, self.y0, self.lanes, lambda error, start, y: np.zeros(self.lanes), _traced_select)

    def start(self, y: Array, inputs: Tree) -> State:
        """Return the state before the first step."""
        flow = self.flow(inputs)
        point = Point(self.times[0], y, flow(self.times[0], y))
        return y, point.dy, self.integrator.begin(flow, point).arrays

    def step(self, record: StepRecord, state: State, inputs: Tree) -> tuple[State, dict[int, Array]]:
        """Return the state after a step, and y at the output times that it passed, by their index."""
        flow, integrator = self.flow(inputs), self.integrator
        y, dy, arrays = state
        start, memory = Point(self.times[self.places[id(record)]], y, dy), Memory(arrays, record.plan)
        attempt = integrator.attempt(flow, start, record.h, memory)
        end, kept = integrator.advance(flow, start, record.t, attempt, record.accepted, memory)
        step = Step(start=start, end=end, h=record.h, accepted=record.accepted, attempt=attempt, memory=memory)
        nothing = [flow.zeros() for _ in self.solution.t]
        outputs = write_outputs(flow, integrator, step, self.solution.t, nothing)
        written = {index: new for index, (new, old) in enumerate(zip(outputs, nothing, strict=True)) if new is not old}
        return (end.y, end.dy, kept.arrays), written

    def states(self) -> list[State]:
        """Return the state before each step and the last one."""
        states = [self.start(self.y0, self.problem.inputs)]
        for record in self.solution.record:
            states.append(self.step(record, states[-1], self.problem.inputs)[0])
        return states

    def linearize_step(self, record: StepRecord, state: State) -> tuple[Linearized, list[int]]:
        """Return the step near `state` as a map (y, rest, inputs) to (state, outputs), and the outputs' indices."""
        from equilib.autodiff import linearize

        indices: list[int] = []

        def traced(y: Array, rest: tuple[Array, tuple[Array, ...]], inputs: Tree) -> Tree:
            after, written = self.step(record, (y, *rest), inputs)
            indices.extend(written)
            return after, list(written.values())

        return linearize(traced, state[0], state[1:], self.problem.inputs), indices

    def linearize_start(self) -> Linearized:
        """Return the map (y0, inputs) to the first state."""
        from equilib.autodiff import linearize

        return linearize(self.start, self.y0, self.problem.inputs)


def _traced_select(mask: np.ndarray, chosen: Array, other: Array) -> Array:
    from equilib import ops
    from equilib.autodiff import static_value

    like = static_value(chosen)
    return ops.where(rows_like(from_host(mask, like), like), chosen, other)
