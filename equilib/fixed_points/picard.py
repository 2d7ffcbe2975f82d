"""Picard iteration: the reference solver, and the one to read before writing another."""

from __future__ import annotations

from dataclasses import dataclass

from equilib.arrays import Array
from equilib.fixed_points.evaluator import Evaluator
from equilib.options import Checked, option


@dataclass(frozen=True)
class State:
    """An iterate and its residual f(z) − z: all that a method without memory needs."""

    z: Array
    residual: Array


@dataclass(frozen=True)
class Picard(Checked):
    """Damped Picard iteration, z ← z + (1 − damping)·(f(z) − z).

    Converges where the spectral radius of damping·I + (1 − damping)·J is below one.
    """

    damping: float = option(0.0, help="keep this share of the old iterate", minimum=0.0, exclusive_maximum=1.0)

    def init(self, f: Evaluator, z0: Array) -> State:
        """Evaluate the initial guess, shape (batch, ...)."""
        return State(z0, f.residual(z0))

    def step(self, f: Evaluator, state: State) -> State:
        """Return the next iterate."""
        z = state.z + ((1 - self.damping) * state.residual if self.damping else state.residual)
        return State(z, f.residual(z))
