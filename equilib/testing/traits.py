"""Laws of an integrator: the jumps of f that its error must see, and its traits."""

# ruff: noqa: D401 - the docstring of a law is the reason why it must hold

from __future__ import annotations

from dataclasses import replace
from unittest import SkipTest

import numpy as np

from equilib.arrays import Array
from equilib.fixed_points.linearization import Linearization
from equilib.ode.flow import Flow, FlowPoint, time_like, tolerance_norm
from equilib.ode.integration import integrate
from equilib.ode.integrator import Integrator
from equilib.ode.problem import OdeProblem
from equilib.ode.stepping import StepState, begin, take_step
from equilib.testing.check import require
from equilib.testing.decay import decay, linearized_decay
from equilib.testing.integrator_subject import Y0, IntegratorSubject
from equilib.testing.subject import difference


def _begun(integrator: Integrator) -> tuple[Flow, StepState]:
    """Return the flow of y' = cos t − y, each sample by itself, and the state before a first step of 0.01."""

    def slope(t: np.ndarray, y: Array) -> Array:
        return decay(time_like(t, y), y)

    lanes, t = len(Y0), np.zeros(len(Y0))
    norm, linearize = tolerance_norm(1e-2, 1e-2, lanes), lambda t, y: linearized_decay(decay, time_like(t, y), y)
    flow = Flow(slope, Y0, lanes, norm, linearize=linearize)
    return flow, begin(integrator, flow, FlowPoint(t, Y0, slope(t, Y0)), np.full(lanes, 0.01))


PLACES = np.linspace(1.0, 9.0, 23)[:, None]
"""Times of jumps, one for each sample, which the steps of a method meet at many places."""


def sees_where_f_jumps(subject: IntegratorSubject) -> None:
    """A jump of f lies anywhere in a step: an error estimate that leaves out a stage is blind there."""
    integrator = subject.controlled()

    def f(t: Array, y: Array) -> Array:
        return (t > PLACES) + 0 * y

    def linearize(_: object, t: Array, y: Array) -> Linearization:
        return Linearization(value=f(t, y), jvp=lambda v: 0 * v, vjp=lambda w: 0 * w, inputs_vjp=lambda w: ())

    problem, y0 = OdeProblem(f, linearize=linearize), np.zeros_like(PLACES)
    found = integrate(problem, y0, (0.0, 10.0), integrator, rtol=1e-5, atol=1e-5, per_sample=True)
    require(found.success, found.failure_report())
    error = difference(found.y[-1], 10.0 - PLACES)
    require(error < 3e-3, f"where f jumps the error is {error:.1e} at a tolerance of 1e-5, beside y of up to 9")


def leaves_the_slope_that_it_says(subject: IntegratorSubject) -> None:
    """The next step and a steady state rely on y' at a point: it is f there, but where a method solves for slopes."""
    integrator = subject.stepped()
    if integrator.traits.solves_slopes:
        raise SkipTest("it says that it solves for slopes")
    flow, state = _begun(integrator)
    for _ in range(3):
        state, _ = take_step(integrator, flow, state, np.ones(len(Y0), dtype=bool))
        gap = difference(state.point.dy, flow(state.point.t, state.point.y))
        require(gap < 1e-12, f"y' at the point is {gap:.1e} from f there, and its traits do not say so")


def needs_no_earlier_step_if_it_says_so(subject: IntegratorSubject) -> None:
    """An adjoint leaves integrals out of the error norm of a method of one step: none may steer itself by the past."""
    integrator = subject.stepped()
    if not integrator.traits.one_step:
        raise SkipTest("it does not say that a step depends on nothing but where it begins")
    flow, state = _begun(integrator)
    going = np.ones(len(Y0), dtype=bool)
    for _ in range(3):
        state, _ = take_step(integrator, flow, state, going)
    state = replace(state, h=np.full(len(Y0), 0.1))
    anew = begin(integrator, flow, state.point, state.h)
    ends = [take_step(integrator, flow, each, going)[0].point.y for each in (state, anew)]
    require(difference(*ends) < 1e-6, f"a step depends on earlier ones, by {difference(*ends):.1e}")
