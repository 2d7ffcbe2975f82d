"""The exact derivative of the steps that were taken."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from equilib.adjoints.sensitivity import Needs, Pullback, check_pullback
from equilib.arrays import Array, Tree
from equilib.errors import UserError
from equilib.fixed_points.options import component
from equilib.ode.adjoints.course import Course
from equilib.ode.adjoints.replay import Replay
from equilib.ode.adjoints.reverse import INTEGRATION, no_derivative
from equilib.ode.adjoints.slopes import Slopes
from equilib.ode.adjoints.staged_steps import StagedSteps
from equilib.ode.adjoints.traced_steps import TracedSteps
from equilib.ode.flow import Flow, FlowPoint, tolerance_norm
from equilib.ode.integrator import Integrator, Memory, StagedIntegrator
from equilib.ode.library import AnyIntegrator, LibraryIntegrator
from equilib.ode.outputs import initial_outputs, lane_times
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeSolution, State
from equilib.options import Checked


class UnseenStepsError(UserError):
    """The discrete adjoint was asked for with an integrator whose steps cannot be differentiated."""


def own_steps(integrator: AnyIntegrator) -> Integrator:
    """Return the integrator if its steps can be differentiated; raises UnseenStepsError if it is a library's."""
    if isinstance(integrator, LibraryIntegrator):
        raise UnseenStepsError(
            f"{integrator} takes its steps out of sight, so there is no discrete adjoint for it; use "
            "interpolating, gauss or backsolve"
        )
    return integrator


@dataclass(frozen=True)
class Discrete(Checked):
    """Carry the cotangent back through each accepted step: discretise, then optimise.

    Exact for the computed y, whatever the tolerance, with the step sizes as constants; so it is not that of the
    solution where these are beyond what keeps an explicit method stable, as where y rests. It needs the state before
    every step, not the stages, and evaluates f once more at each stage. Tangents and second derivatives are those of
    the steps replayed.
    """

    needs: ClassVar[Needs] = Needs(states=True)

    def pullback(
        self, problem: OdeProblem, solution: OdeSolution, cotangent: Array, *, guess: Array | None = None
    ) -> Pullback[OdeSolution]:
        """Return the cotangents of y(t₀), shape (batch, ...), and of the inputs.

        Raises UnseenStepsError if the integrator is a library's, whose steps cannot be differentiated.
        """
        check_pullback(problem, solution, cotangent, *INTEGRATION)
        integrator = own_steps(solution.integrator)
        problem = problem.with_fine_times(fine=solution.fine_times)
        if not solution.success:
            return no_derivative(problem, solution)
        course = Course(solution, solution.y.shape[1] if solution.options.per_sample else 1)
        flow = _plain_flow(problem, solution, course)
        slopes, states = Slopes(problem, course), _states(integrator, solution, flow, course)
        steps: StagedSteps | TracedSteps
        if isinstance(integrator, StagedIntegrator):
            steps = StagedSteps(integrator, solution, flow, course, slopes, states)
        else:
            steps = TracedSteps(integrator, solution, flow, course, slopes, states)
        y_bar = steps.pull(cotangent) if solution.record else flow.zeros()
        for index, initial in initial_outputs(lane_times(solution.t, flow.lanes)):
            y_bar = y_bar + flow.select(initial, cotangent[index, ...], flow.zeros())
        return Pullback(inputs=slopes.inputs_bar(), start=y_bar)

    def unroll(self, problem: OdeProblem, solution: OdeSolution, start: Array, *inputs: Tree) -> Array:
        """Return y at the output times, shape (times, batch, ...), by steps that are traced: all stay in memory.

        Raises UnseenStepsError as `pullback` does.
        """
        from equilib import ops
        from equilib.ode.adjoints.implicit_stages import differentiable

        integrator = own_steps(solution.integrator)
        problem = problem.with_fine_times(fine=solution.fine_times)
        like = solution.y[0, ...]

        def f(t: np.ndarray, y: Array) -> Array:
            return problem.f(problem.time(t, like), y, *inputs)

        course = Course(solution, like.shape[0] if solution.options.per_sample else 1)
        plain = _plain_flow(problem, solution, course)
        stages = differentiable(lambda t: partial(problem.f, problem.time(course.inside(t), like)), plain, inputs)
        y = Replay(integrator, solution, course, f, plain.linearize, stages).all_steps(start)
        if solution.success:
            return y
        # What did not reach the end has no derivative, by whatever f depends on.
        return ops.add(y, ops.multiply(f(lane_times(solution.t, 1)[0], start), float("nan")))


def _plain_flow(problem: OdeProblem, solution: OdeSolution, course: Course) -> Flow:
    like, options = solution.y[0, ...], solution.options
    lanes = like.shape[0] if options.per_sample else 1
    norm = tolerance_norm(component(options, "rtol", like), component(options, "atol", like), lanes)
    return Flow(
        lambda t, y: problem.at(course.inside(t), y),
        like,
        lanes,
        norm,
        linearize=lambda t, y: problem.linearize_at(course.inside(t), y),
    )


def _states(integrator: Integrator, solution: OdeSolution, flow: Flow, course: Course) -> list[State]:
    """Return the state before each step: those that were kept, else by another integration."""
    kept = [record.state for record in solution.record if record.state is not None]
    if len(kept) == len(solution.record):
        return kept
    t, y = lane_times(solution.t, flow.lanes)[0], solution.y[0, ...]
    point, memory, states = FlowPoint(t, y, y), Memory(), []
    for place, record in enumerate(solution.record):
        if course.enter(place):
            point = FlowPoint(point.t, point.y, flow(point.t, point.y))
            memory = integrator.begin(flow, point)
        states.append((point.y, point.dy, memory.arrays))
        memory = Memory(memory.arrays, record.plan)
        attempt = integrator.attempt(flow, point, record.h, memory)
        point, memory = integrator.advance(flow, point, record.t, attempt, record.accepted, memory)
    return states
