"""Pseudo-transient continuation for z = f(z): (I/τ + I − J) d = f(z) − z, z ← z + d."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from equilib.arrays import Array, coefficients, rows_like, where_samples
from equilib.fixed_points.compaction import restricted_state
from equilib.fixed_points.problem import FixedPointProblem, Linearization
from equilib.numerics.affine import relative_target, residual_norm
from equilib.numerics.gmres import GMRES
from equilib.numerics.line_search import Point
from equilib.options import check_options, option

# Taken back is a step after which the residual is this many times its least so far; the next one is as much shorter.
GROWTH = 10.0


@dataclass(frozen=True)
class PseudoTransientState:
    """An iterate, its residual with its Euclidean norm, f's linearization there, and the next time step τ.

    `best` is the least norm so far; `rejections` counts the steps that each sample took back in a row; `failed` marks
    samples that took back too many. Shapes are (batch,).
    """

    z: Array
    residual: Array
    norm: np.ndarray
    linear: Linearization = field(repr=False)
    time_step: np.ndarray
    best: np.ndarray
    rejections: np.ndarray
    failed: np.ndarray


@dataclass(frozen=True)
class PseudoTransient:
    """Linearly implicit Euler steps on z' = −F(z), F = z − f(z) (Kelley & Keyes 1998, SIAM J. Numer. Anal. 35(2)).

    The time step of each sample follows switched evolution relaxation, τ ← τ ‖F_old‖ / ‖F_new‖, so that the method
    ends as Newton's. Linear systems are solved by GMRES. A step after which the residual is ten times its least so
    far, or not finite, is taken back and τ divided by ten.

    F has the sign for which the flow runs into a stable fixed point; for f(z) − z the term I/τ would destabilize it.

    Raises
    ------
    ValueError
        If an option is out of its range.
    """

    time_step: float = option(10.0, help="first time step τ; 1 is about the time scale of −z", exclusive_minimum=0.0)
    restart: int = option(20, help="products J·v in one step at most", minimum=1)
    forcing: float = option(0.01, help="residual reduction asked of GMRES", minimum=1e-12, maximum=0.9)
    rejections: int = option(8, help="steps taken back in a row before the sample is given up", minimum=1)

    def __post_init__(self) -> None:
        check_options(self)

    def init(self, problem: FixedPointProblem, z0: Array) -> PseudoTransientState:
        """Linearize at the initial guess."""
        point = Point.at(problem, z0)
        none = np.zeros(point.norm.shape, dtype=int)
        return self._state(point, np.full(none.shape, self.time_step), point.norm, none)

    def step(self, problem: FixedPointProblem, state: PseudoTransientState) -> PseudoTransientState:
        """Make one time step, or take it back."""
        assert problem.active is not None  # set by the driver
        target = relative_target(problem, residual_norm(problem, state.residual))
        shift = rows_like(coefficients(1 + 1 / state.time_step, state.z), state.z)
        direction = GMRES(self.restart).solve(
            lambda v: shift * v - state.linear.jvp(v),
            state.residual,
            rtol=np.maximum(self.forcing, np.minimum(0.5 * target, 0.9)),
            active=problem.active,
        )
        new = Point.at(problem, state.z + direction)
        rejected = problem.active & ~(new.norm <= GROWTH * state.best)
        growth = state.norm / np.where(new.norm > 0, new.norm, 1.0)
        time_step = state.time_step * np.where(rejected, 1 / GROWTH, growth)
        if rejected.any():
            new = Point.at(problem, where_samples(rejected, state.z, new.z))
        best = np.where(rejected, state.best, np.minimum(state.best, new.norm))
        return self._state(new, time_step, best, np.where(rejected, state.rejections + 1, 0))

    def restrict(
        self, problem: FixedPointProblem, state: PseudoTransientState, rows: np.ndarray
    ) -> PseudoTransientState:
        """Return the state of the samples `rows` only, linearized anew: that costs an evaluation."""
        return restricted_state(problem, state, rows)

    def _state(
        self, point: Point, time_step: np.ndarray, best: np.ndarray, rejections: np.ndarray
    ) -> PseudoTransientState:
        return PseudoTransientState(
            z=point.z,
            residual=point.residual,
            norm=point.norm,
            linear=point.linear,
            time_step=time_step,
            best=best,
            rejections=rejections,
            failed=rejections > self.rejections,
        )
