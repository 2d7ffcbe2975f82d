"""Inexact Newton for z = f(z): (I − J) d = f(z) − z solved by GMRES, z ← z + λ d."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import Evaluator, ImplicitAdjoint
from equilib.arrays import Array
from equilib.numerics.affine import SHARE
from equilib.numerics.forcing import LARGEST, next_forcing, tightened
from equilib.numerics.gmres import GMRES
from equilib.numerics.krylov_levels import HALVED, IN_VAIN, may_grow, solve_at_levels
from equilib.numerics.line_search import NewtonPoint, line_search
from equilib.numerics.linear_solver import LinearSolver
from equilib.options import Checked, option, part
from equilib_newton_gmres.trust_region import trust_region


@dataclass(frozen=True)
class NewtonState(NewtonPoint):
    """An iterate that f is linearized at, and what the next forcing term depends on.

    `forcing`, the trust-region `radius`, the `level` of the Krylov space, and the products `spent` in larger ones since
    the residual was halved have shape (batch,); `failed` marks samples for which no descent was found.
    """

    forcing: np.ndarray
    radius: np.ndarray
    level: np.ndarray
    spent: np.ndarray
    failed: np.ndarray


@dataclass(frozen=True)
class NewtonGMRES(Checked):
    """Newton's method with GMRES and a line search or a trust region (Kelley 1995, §§6, 8; Knoll & Keyes 2004).

    Each sample has its own forcing term, step length and Krylov space; an evaluation of f and a product J·v are
    shared by the batch. The linearization is made once per step and applied many times. Both globalizations
    measure residuals in the norm that GMRES reduces, the Euclidean one, whatever the norm of the convergence test.
    Where a step does not halve the residual, the Krylov space of the next may be four times as large, up to the size of
    the state; before a sample is given up, it is, unless `enlarge` is false. Where 1,000 products in such spaces have
    not halved it, the next steps are by small ones again, and states of more elements have at most 320 to a step.
    """

    linear_solver: LinearSolver = part("gmres", GMRES, kind="linear solver", help="solve the equation of each step")
    forcing: float = option(0.1, help="ask the first GMRES for this residual reduction", minimum=1e-12, maximum=0.9)
    globalization: str = option(
        "line-search",
        help="choose the remedy for steps that do not descend; trust-region also takes products Jᵀ·w",
        choices=("line-search", "trust-region", "none"),
    )
    backtracks: int = option(8, help="shorten a step so often before the sample is given up", minimum=0)
    enlarge: bool = option(True, help="enlarge the Krylov space where a step does not halve the residual")

    def init(self, f: Evaluator, z0: Array) -> NewtonState:
        """Linearize at the initial guess."""
        point = NewtonPoint.at(f, z0)
        shape = point.norm.shape
        none = np.zeros(shape, dtype=int)
        forcing, radius = np.full(shape, self.forcing), np.full(shape, np.inf)
        return NewtonState(**vars(point), forcing=forcing, radius=radius, level=none, spent=none, failed=none > 0)

    def step(self, f: Evaluator, state: NewtonState) -> NewtonState:
        """Solve for the Newton step and go where the residual decreases."""
        # More than what is missing would be wasted in the last step (Kelley 1995, eq. 6.20, who takes a half of it).
        target = f.missing(f.size(state.residual))
        forcing = np.maximum(state.forcing, np.minimum(SHARE * target, LARGEST))
        direction, asked = solve_at_levels(
            self.linear_solver,
            lambda v: v - state.linear.jvp(v),
            state.residual,
            rtol=forcing,
            active=f.active,
            level=state.level,
        )
        radius = state.radius
        if self.globalization == "none":
            new, rejected = NewtonPoint.at(f, state.z + direction), np.zeros_like(state.failed)
        elif self.globalization == "line-search":
            new, rejected = line_search(f, state, direction, forcing=forcing, backtracks=self.backtracks)
        else:
            new, rejected, radius = trust_region(
                f, state, direction, forcing=forcing, radius=radius, shrinks=self.backtracks
            )
        following = tightened(next_forcing(forcing, new.norm, state.norm), new.norm, state.norm)
        larger = ~(new.norm <= HALVED * state.norm) & self.enlarge
        spent = np.where(larger, state.spent + np.sum(asked, axis=0) * (state.level > 0), 0)
        if np.count_nonzero(larger):
            larger &= may_grow(self.linear_solver, state.level, state.z) & (spent < IN_VAIN)
        level, failed = np.where(spent < IN_VAIN, state.level + larger, 0), rejected & ~larger
        return NewtonState(**vars(new), forcing=following, radius=radius, level=level, spent=spent, failed=failed)

    def adjoint(self) -> ImplicitAdjoint:
        """Return the adjoint that uses the same linear solver."""
        return ImplicitAdjoint(linear_solver=self.linear_solver)
