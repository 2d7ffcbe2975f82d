"""The adjoint of Newton-GMRES: the transposed system, by the same linear solvers."""

from __future__ import annotations

from dataclasses import dataclass, field

from equilib.adjoints.implicit import ImplicitAdjoint
from equilib.adjoints.sensitivity import Pullback
from equilib.arrays import Array
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution
from equilib.numerics.affine import Affine
from equilib.options import check_options, option
from equilib_newton_gmres.linear_solvers import LINEAR_SOLVERS, make_linear_solver


@dataclass(frozen=True)
class GMRESAdjoint:
    """Solve (I − Jᵀ) w = g by cycles of GMRES.

    Raises
    ------
    ValueError
        If an option is out of its range.
    """

    linear_solver: str = option("batched", help="which GMRES", choices=LINEAR_SOLVERS)
    restart: int = option(20, help="products Jᵀ·w in one cycle of GMRES", minimum=1)
    rtol: float | None = option(None, help="residual relative to ‖w‖; none takes the forward solve's", minimum=0.0)
    max_steps: int | None = option(None, help="cycles of GMRES; none takes the forward solve's steps", minimum=1)
    guess: Array | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_options(self)

    def pullback(self, problem: FixedPointProblem, solution: Solution, cotangent: Array) -> Pullback:
        """Return the cotangents of the inputs, and how well the adjoint equation was solved."""
        solver = Affine(make_linear_solver(self.linear_solver, self.restart))
        return ImplicitAdjoint(solver, self.rtol, self.max_steps, self.guess).pullback(problem, solution, cotangent)
