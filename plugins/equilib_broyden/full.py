"""Broyden's method with the full inverse Jacobian for z = f(z)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from equilib import Evaluator, State
from equilib.arrays import Array, where_samples
from equilib.numerics.dense import require_small
from equilib.options import Checked, option
from equilib_broyden.dense import JACOBIANS, DenseInverse
from equilib_broyden.iteration import BroydenState, attempt, needs_restart, start, with_inverse

PROGRESS = 0.1
"""Share of the first residual below which a place is worth keeping when a sample begins again."""


@dataclass(frozen=True)
class FullState(BroydenState):
    """A `BroydenState` that remembers the initial guess, and which samples have begun again: bool, shape (batch,)."""

    inverse: DenseInverse = field(repr=False)
    guess: State = field(repr=False)
    first: np.ndarray
    restarted: np.ndarray


@dataclass(frozen=True)
class Broyden(Checked):
    """Good Broyden (1965) on r = f(z) − z with the full inverse of each sample, z ← z − H r.

    For small states: H is of the size of z squared. A step after which the residual exceeds `growth` times its least
    so far, or is not finite, is taken back; H has learned from it. From the second time in a row, H begins again, and
    the step is half as long each time. By default H begins at −I, and begins again at the true Jacobian; the first
    time, at the initial guess, unless the residual has fallen to a tenth since. Where f has no derivative it begins
    again at −I, where it is.
    """

    jacobian: str = option(
        "as-needed",
        help="begin H at −I, as Picard iteration does (identity); at the true Jacobian, by products J·v "
        "(products); or at −I, and again, after steps taken back, at the true Jacobian (as-needed)",
        choices=JACOBIANS,
    )
    growth: float = option(5.0, help="take a step back when the residual grows by this factor", minimum=1.0)
    rejections: int = option(12, help="give a sample up after so many steps taken back in a row", minimum=1)
    largest: int = option(1000, help="refuse states of more elements; a matrix holds their number squared", minimum=1)

    def require_size(self, size: int) -> None:
        """Refuse samples of more elements than `largest`; raises StateTooLargeError."""
        require_small(size, self.largest, solver="broyden", instead="lbroyden")

    def init(self, f: Evaluator, z0: Array) -> FullState:
        """Evaluate the initial guess.

        Raises
        ------
        StateTooLargeError
            If a sample has more than `largest` elements.
        """
        self.require_size(prod(z0.shape[1:]))
        inverse = DenseInverse.beginning(z0, self.jacobian)
        began = start(f, z0, inverse)
        guess = State(z0, began.residual)
        return FullState(**vars(began), guess=guess, first=began.best, restarted=np.zeros_like(began.failed))

    def traced(self) -> Any:
        """Return the form of it that JAX can trace, for states that it would not refuse."""
        from equilib_broyden.traced import TracedFull  # deferred: JAX is loaded by those who use it

        return TracedFull(self.jacobian, self.growth, self.rejections, self.largest, PROGRESS)

    def step(self, f: Evaluator, state: FullState) -> FullState:
        """Try the quasi-Newton step, learn from it, and go on from the better place."""
        return attempt(f, _restart(f, state), growth=self.growth, rejections=self.rejections)


def _restart(f: Evaluator, state: FullState) -> FullState:
    """Begin again with the samples that have to, from the place that is worth it."""
    due = needs_restart(f, state)
    # What was learned far from the guess led nowhere; from −I the same way would follow.
    back = due & ~state.restarted & (state.best > PROGRESS * state.first) & (state.inverse.jacobian == "as-needed")
    z = where_samples(back, state.guess.z, state.z)
    inverse = state.inverse.restarted(f, z, due)
    if inverse.jacobian == "identity":
        return with_inverse(state, inverse)
    if inverse is state.inverse:
        return state
    residual = where_samples(back, state.guess.residual, state.residual)
    return replace(
        state,
        z=z,
        residual=residual,
        inverse=inverse,
        image=inverse.apply(residual),
        best=np.where(back, state.first, state.best),
        restarted=state.restarted | due,
    )
