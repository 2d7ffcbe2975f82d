"""Laws of an integrator: the jumps of f that its error must see, and its traits."""

# ruff: noqa: D401 - the docstring of a law is the reason why it must hold

from __future__ import annotations

from unittest import SkipTest

import numpy as np

from equilib.arrays import Array
from equilib.fixed_points.problem import Linearization
from equilib.ode.flow import Flow, FlowPoint, time_like, tolerance_norm
from equilib.ode.integrate import odeint
from equilib.ode.problem import OdeProblem
from equilib.ode.stepping import begin, take_step
from equilib.testing.check import require
from equilib.testing.decay import decay
from equilib.testing.integrator_subject import Y0, IntegratorSubject
from equilib.testing.subject import difference

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
    found = odeint(problem, y0, (0.0, 10.0), integrator, rtol=1e-5, atol=1e-5, per_sample=True)
    require(found.success, found.failure_report())
    error = difference(found.y[-1], 10.0 - PLACES)
    require(error < 3e-3, f"where f jumps the error is {error:.1e} at a tolerance of 1e-5, beside y of up to 9")


def leaves_the_slope_that_it_says(subject: IntegratorSubject) -> None:
    """The next step and a steady state rely on y' at the point: it is f there, unless `Traits.solves_slopes` says no."""
    integrator = subject.stepped()
    if integrator.traits.solves_slopes:
        raise SkipTest("it says that it solves for slopes")
    lanes = len(Y0)
    flow = Flow(lambda t, y: decay(time_like(t, y), y), Y0, lanes, tolerance_norm(1e-2, 1e-2, lanes))
    state = begin(integrator, flow, FlowPoint(np.zeros(lanes), Y0, flow(np.zeros(lanes), Y0)), np.full(lanes, 0.01))
    for _ in range(3):
        state, _ = take_step(integrator, flow, state, np.ones(lanes, dtype=bool))
        gap = difference(state.point.dy, flow(state.point.t, state.point.y))
        require(gap < 1e-12, f"y' at the point is {gap:.1e} from f there, and its traits do not say so")
