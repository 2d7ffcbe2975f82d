"""Pseudo-transient continuation for z = f(z): (I/τ + I − J) d = f(z) − z, z ← z + d."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import Evaluator
from equilib.arrays import Array, coefficients, rows_like, where_samples
from equilib.numerics.gmres import GMRES
from equilib.numerics.line_search import NewtonPoint
from equilib.numerics.linear_solver import LinearSolver
from equilib.options import Checked, option, part

# Taken back is a step after which the residual is this many times its least so far; the next one is as much shorter.
GROWTH = 10.0


@dataclass(frozen=True)
class PseudoTransientState(NewtonPoint):
    """An iterate that f is linearized at, and the next time step τ.

    `best` is the least norm so far; `rejections` counts the steps that each sample took back in a row; `failed` marks
    samples that took back too many. Shapes are (batch,).
    """

    time_step: np.ndarray
    best: np.ndarray
    rejections: np.ndarray
    failed: np.ndarray


@dataclass(frozen=True)
class PseudoTransient(Checked):
    """Linearly implicit Euler steps on z' = −F(z), F = z − f(z) (Kelley & Keyes 1998, SIAM J. Numer. Anal. 35(2)).

    The time step of each sample follows switched evolution relaxation, τ ← τ ‖F_old‖ / ‖F_new‖, so that the method
    ends as Newton's. Linear systems are solved by GMRES. A step after which the residual is ten times its least so
    far, or not finite, is taken back and τ divided by ten.

    F has the sign for which the flow runs into a stable fixed point; for f(z) − z the term I/τ would destabilize it.
    """

    time_step: float = option(10.0, help="begin with this τ; 1 is about the time scale of −z", exclusive_minimum=0.0)
    linear_solver: LinearSolver = part("gmres", GMRES, kind="linear solver", help="solve the equation of each step")
    forcing: float = option(0.01, help="ask the linear solver for this residual reduction", minimum=1e-12, maximum=0.9)
    rejections: int = option(8, help="give a sample up after so many steps taken back in a row", minimum=1)

    def init(self, f: Evaluator, z0: Array) -> PseudoTransientState:
        """Linearize at the initial guess."""
        point = NewtonPoint.at(f, z0)
        none = np.zeros(point.norm.shape, dtype=int)
        return self._state(point, np.full(none.shape, self.time_step), point.norm, none)

    def step(self, f: Evaluator, state: PseudoTransientState) -> PseudoTransientState:
        """Make one time step, or take it back."""
        target = f.missing(f.size(state.residual))
        shift = rows_like(coefficients(1 + 1 / state.time_step, state.z), state.z)
        direction = self.linear_solver.solve(
            lambda v: shift * v - state.linear.jvp(v),
            state.residual,
            rtol=np.maximum(self.forcing, np.minimum(0.5 * target, 0.9)),
            active=f.active,
        )
        new = NewtonPoint.at(f, state.z + direction)
        rejected = f.active & ~(new.norm <= GROWTH * state.best)
        growth = state.norm / np.where(new.norm > 0, new.norm, 1.0)
        time_step = state.time_step * np.where(rejected, 1 / GROWTH, growth)
        if rejected.any():
            new = NewtonPoint.at(f, where_samples(rejected, state.z, new.z))
        best = np.where(rejected, state.best, np.minimum(state.best, new.norm))
        return self._state(new, time_step, best, np.where(rejected, state.rejections + 1, 0))

    def _state(
        self, point: NewtonPoint, time_step: np.ndarray, best: np.ndarray, rejections: np.ndarray
    ) -> PseudoTransientState:
        return PseudoTransientState(
            **vars(point),
            time_step=time_step,
            best=best,
            rejections=rejections,
            failed=rejections > self.rejections,
        )
