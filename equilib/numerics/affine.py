"""The solver of affine fixed points, one linear equation a step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from equilib.arrays import Array, array_namespace
from equilib.fixed_points.evaluator import Evaluator
from equilib.fixed_points.linearization import Linearization
from equilib.numerics.gmres import GMRES
from equilib.numerics.linear_solver import LinearSolver
from equilib.options.kinds import check_kind

SHARE = 0.9
"""Share of the tolerance that is asked of a linear solver; the rest is for rounding, and for a tolerance relative to
‖z‖, which the step changes. On the adjoints of the MNIST tutorial a half, which Kelley (1995, eq. 6.20) takes for
Newton's method, costs 0.6 products of 7.4 more, and this share no second cycle."""


ROUNDING = 1000.0
"""Rounding errors of a residual, in units of eps·‖z‖, at most: those of all products of some cycles."""


@dataclass(frozen=True)
class AffineState:
    """An iterate of an affine problem, its residual, and the one linearization there is.

    `coupled` says that products have shown that its samples depend on each other, so that no residual is that of one.
    """

    z: Array
    residual: Array
    linear: Linearization = field(repr=False)
    coupled: bool = False


@dataclass(frozen=True)
class Affine:
    """Solver for affine f: one step solves (I − J) d = f(z) − z and adds d to z.

    It is what implicit adjoints run on: w = Jᵀw + g is affine in w. A step ends where the linear solver stops,
    so a further step is a restart; the driver checks the true residual. Where f is declared to be affine, what a linear
    solver says about its residual is true, and the evaluation that would confirm it is saved.
    """

    linear_solver: LinearSolver = field(default_factory=GMRES)

    def __post_init__(self) -> None:
        check_kind(self.linear_solver, "linear_solver", "linear solver")

    def init(self, f: Evaluator, z0: Array) -> AffineState:
        """Linearize f at z0, shape (batch, ...), once and for all."""
        linear = f.linearize(z0)
        return AffineState(z0, linear.value - z0, linear)

    def step(self, f: Evaluator, state: AffineState) -> AffineState:
        """Solve for the step, to most of what is missing to the tolerance."""

        def matvec(v: Array) -> Array:
            return v - state.linear.jvp(v)

        norm = f.size(state.residual)
        rtol = SHARE * f.missing(norm)
        solve_with_residual = getattr(self.linear_solver, "solve_with_residual", None)
        if not f.affine or solve_with_residual is None:
            z = state.z + self.linear_solver.solve(matvec, state.residual, rtol=rtol, active=f.active)
            return AffineState(z, f.residual(z), state.linear)
        step, residual = solve_with_residual(matvec, state.residual, rtol=rtol, active=f.active)
        z = state.z + step
        if residual is None:
            return AffineState(z, f.residual(z), state.linear, coupled=True)
        known = _clear_of_rounding(f, state.z, norm)
        return AffineState(z, residual if known else f.residual(z), state.linear)


def _clear_of_rounding(f: Evaluator, z: Array, residual: np.ndarray) -> bool:
    """Tell whether the tolerance of each active sample is far above the rounding errors of an unevaluated residual."""
    size = np.maximum(f.size(z), residual)
    clear = f.tolerance > ROUNDING * float(array_namespace(z).finfo(z.dtype).eps) * size
    return bool(np.all(clear[f.active]))
