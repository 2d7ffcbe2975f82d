"""Inexact Newton for z = f(z): (I − J) d = f(z) − z solved by GMRES, z ← z + λ d."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from equilib.arrays import Array, coefficients, rows_like, to_host, two_norm, where_samples
from equilib.checks import check_options
from equilib.linear import relative_target, residual_norm
from equilib.options import option
from equilib.problem import FixedPointProblem, Linearization
from equilib_newton_gmres.adjoint import GMRESAdjoint
from equilib_newton_gmres.forcing import LARGEST, next_forcing
from equilib_newton_gmres.line_search import shorter, sufficient_decrease
from equilib_newton_gmres.linear_solvers import LINEAR_SOLVERS, make_linear_solver


@dataclass(frozen=True)
class NewtonState:
    """An iterate, its residual, f's linearization there, and what the next forcing term depends on.

    `norm`, the Euclidean norm of the residual, and `forcing` have shape (batch,); `failed` marks samples whose line
    search found no descent.
    """

    z: Array
    residual: Array
    linear: Linearization = field(repr=False)
    norm: np.ndarray
    forcing: np.ndarray
    failed: np.ndarray


@dataclass(frozen=True)
class NewtonGMRES:
    """Newton's method with GMRES and a line search (Kelley 1995, §§6, 8; Knoll & Keyes 2004).

    Each sample has its own forcing term, step length and Krylov space; an evaluation of f and a product J·v are
    shared by the batch. The linearization is made once per step and applied many times. The line search measures
    residuals in the Euclidean norm, whatever the norm of the convergence test: it is the one that GMRES reduces, and
    so the one in which a step is sure to descend.

    Raises
    ------
    ValueError
        If an option is unknown to it or out of its range.
    """

    linear_solver: str = option(
        "batched",
        help="GMRES for each sample (batched) or SciPy's / CuPy's for the batch",
        choices=LINEAR_SOLVERS,
    )
    restart: int = option(20, help="products J·v in one step at most", minimum=1)
    forcing: float = option(0.1, help="residual reduction asked of the first GMRES", minimum=1e-12, maximum=0.9)
    backtracks: int = option(8, help="times a step is shortened before the sample is given up", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)

    def init(self, problem: FixedPointProblem, z0: Array) -> NewtonState:
        """Linearize at the initial guess."""
        linear = problem.linearize(z0)
        residual = linear.value - z0
        norm = _euclidean(residual)
        return NewtonState(z0, residual, linear, norm, np.full(norm.shape, self.forcing), np.zeros(norm.shape, bool))

    def step(self, problem: FixedPointProblem, state: NewtonState) -> NewtonState:
        """Solve for the Newton step and go along it as far as the residual decreases."""
        assert problem.active is not None  # set by the driver
        # Half of what is missing is exact enough in the last step (Kelley 1995, eq. 6.20).
        target = relative_target(problem, residual_norm(problem, state.residual))
        forcing = np.maximum(state.forcing, np.minimum(0.5 * target, LARGEST))
        direction = make_linear_solver(self.linear_solver, self.restart).solve(
            lambda v: v - state.linear.jvp(v), state.residual, rtol=forcing, active=problem.active
        )
        length = np.ones(state.norm.shape)
        for _ in range(self.backtracks + 1):
            z, linear = self._try(problem, state, direction, length)
            residual = linear.value - z
            norm = _euclidean(residual)
            rejected = problem.active & ~sufficient_decrease(norm, state.norm, length, forcing)
            if not rejected.any():
                break
            length = np.where(rejected, shorter(norm, state.norm, length, forcing), length)
        else:
            z, linear = self._try(problem, state, direction, np.where(rejected, 0.0, length))
            residual = linear.value - z
            norm = _euclidean(residual)
        return NewtonState(z, residual, linear, norm, next_forcing(forcing, norm, state.norm), rejected)

    def _try(
        self, problem: FixedPointProblem, state: NewtonState, direction: Array, length: np.ndarray
    ) -> tuple[Array, Linearization]:
        z = state.z + rows_like(coefficients(length, direction), direction) * direction
        # Selected, not multiplied by λ = 0: a direction may be nan.
        z = where_samples(length > 0, z, state.z)
        return z, problem.linearize(z)

    def adjoint(self) -> GMRESAdjoint:
        """Return the adjoint that uses the same linear solver."""
        return GMRESAdjoint(self.linear_solver, self.restart)


def _euclidean(residual: Array) -> np.ndarray:
    return to_host(two_norm(residual)).astype(np.float64)
