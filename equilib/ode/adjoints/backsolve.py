"""The adjoint equation along the forward solution integrated backward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from equilib.adjoints.sensitivity import Needs
from equilib.arrays import Array, array_namespace
from equilib.fixed_points.options import component
from equilib.ode.adjoints.augmented_state import Packing, norm_of_part
from equilib.ode.adjoints.reverse import BackwardAdjoint, Equation, Interval
from equilib.ode.flow import ErrorNorm, FlowPoint, tolerance_norm
from equilib.ode.integrator import FixedStepIntegrator
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeOptions, OdeSolution, OdeStatus

DRIFT = 100.0
"""Tolerances, in the rms over a sample, by which y integrated backward may miss the forward solution."""

LOST = (OdeStatus.NONFINITE, OdeStatus.STEP_TOO_SMALL, OdeStatus.GAVE_UP)
"""Ends on the way back: along the forward solution there was a next step."""


@dataclass(frozen=True)
class Backsolve(BackwardAdjoint):
    """Integrate y, λ and θ̄ backward together (Chen et al. 2018, arXiv:1806.07366).

    It keeps nothing but y at the output times, at which y is reset. Where the flow contracts, as that of an
    equilibrium model does, its reverse expands, and the backward y drifts away: prefer `Interpolating` there. Where it
    has arrived with y more than `DRIFT` tolerances off, the status is `DRIFTED`, and there is no derivative.
    """

    needs = Needs()

    def equation(self, problem: OdeProblem, solution: OdeSolution, norm: ErrorNorm, interval: Interval) -> Equation:
        """Return the equation of y, λ and θ̄."""
        packing = Packing(solution.y[0, ...], 2, problem.inputs)
        # The tolerances of y and of λ are of different sizes: what counts is the larger of the two norms.
        size, y = packing.state_size // 2, solution.y[0, ...]
        rtol, atol = (_packed(component(solution.options, name, y), y) for name in ("rtol", "atol"))
        forward = tolerance_norm(rtol, atol, 1)
        norms = norm_of_part(forward, slice(0, size)), norm_of_part(norm, slice(size, 2 * size))

        def near(s: float, state: Array) -> tuple[Array, Callable[[Array], Array]]:
            y, adjoint = packing.states(state)
            linear = problem.linearize_at(interval.at(s), y)

            def derivative(slope: Array, adjoint: Array) -> Array:
                y_bar, inputs_bar = linear.pull(interval.paced(adjoint))
                return -packing.pack((-interval.paced(slope), y_bar), inputs_bar)

            def product(v: Array) -> Array:
                # Without the second derivatives of f, below the diagonal: Newton's method takes a step more instead.
                v_y, v_adjoint = packing.states(v)
                return derivative(linear.jvp(v_y), v_adjoint)

            return derivative(linear.value, adjoint), product

        return Equation(
            near,
            lambda index, adjoint, inputs: packing.pack((solution.y[index, ...], adjoint), inputs),
            lambda found, _: packing.unpack(found.y[-1, ...]),
            lambda error, start, y: np.maximum(*[each(error, start, y) for each in norms]),
            lambda found, index: _compared(solution, found, packing.states(found.y[-1, ...])[0], index),
        )


def _compared(solution: OdeSolution, found: OdeSolution, y: Array, index: int) -> OdeSolution:
    """Return a backward integration to the output time `index`, `DRIFTED` where its y there is not the solution's."""
    known, later, (how,) = solution.y[index, ...], solution.y[index + 1, ...], found.status
    # A number of steps promises no tolerance.
    options = OdeOptions() if isinstance(solution.integrator, FixedStepIntegrator) else solution.options
    rtol, atol = (component(options, name, known) for name in ("rtol", "atol"))
    drift = tolerance_norm(rtol, atol, known.shape[0])(y - known, FlowPoint(solution.t, later, later), known)
    drifted = how in LOST or (how.success and not np.all(drift <= DRIFT))
    return replace(found, status=(OdeStatus.DRIFTED,)) if drifted else found


def _packed(tolerance: Array | float, y: Array) -> Array | float:
    """Return a tolerance for y, shape (batch, ...), as one for the state that it is packed into, shape (1, size)."""
    if isinstance(tolerance, float):
        return tolerance
    xp = array_namespace(y)
    return xp.reshape(xp.broadcast_to(tolerance, y.shape), (1, -1))
