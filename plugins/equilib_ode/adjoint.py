"""The adjoint equation of a fixed point as a flow: λ' = Jᵀ λ − λ + g, integrated to its steady state."""

from __future__ import annotations

from dataclasses import dataclass, field

from equilib.adjoints.implicit import ImplicitAdjoint
from equilib.adjoints.sensitivity import Pullback
from equilib.arrays import Array
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution
from equilib.ode.integrator import Integrator
from equilib.ode.library import AnyIntegrator
from equilib.ode.steady_state import SteadyState, SteadyStateState
from equilib.options import check_options, option
from equilib_ode.bs3 import BogackiShampine3
from equilib_ode.dopri5 import Dopri5
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcab3 import VCAB3
from equilib_ode.vcabm import VCABM

INTEGRATORS: dict[str, type[Integrator]] = {
    "tsit5": Tsit5,
    "dopri5": Dopri5,
    "bs3": BogackiShampine3,
    "vcab3": VCAB3,
    "vcabm": VCABM,
}


@dataclass(frozen=True)
class OdeAdjoint:
    """Solve w = Jᵀw + g as the steady state of w' = Jᵀw + g − w: exact up to the tolerance.

    It converges where the forward flow does, as Jᵀ has the eigenvalues of J.

    Raises
    ------
    ValueError
        If an option is out of its range.
    """

    integrator: str = option(
        "same", help="the integrator; same takes the forward solve's, or tsit5", choices=("same", *INTEGRATORS)
    )
    step_rtol: float = option(0.03, help="error of a time step relative to the residual", exclusive_minimum=0.0)
    first_step: float = option(1.0, help="size of the first time step", exclusive_minimum=0.0)
    rtol: float | None = option(None, help="residual relative to ‖w‖; none takes the forward solve's", minimum=0.0)
    max_steps: int = option(500, help="time steps", minimum=1)
    guess: Array | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_options(self)

    def pullback(self, problem: FixedPointProblem, solution: Solution, cotangent: Array) -> Pullback:
        """Return the cotangents of the inputs, and how well the adjoint equation was solved."""
        solver = SteadyState(self._integrator(solution), step_rtol=self.step_rtol, first_step=self.first_step)
        return ImplicitAdjoint(solver, self.rtol, self.max_steps, self.guess).pullback(problem, solution, cotangent)

    def _integrator(self, solution: Solution) -> AnyIntegrator:
        if self.integrator != "same":
            return INTEGRATORS[self.integrator]()
        forward = solution.state
        return forward.method.integrator if isinstance(forward, SteadyStateState) else Tsit5()
