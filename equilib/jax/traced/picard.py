"""Picard iteration inside of a traced loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax

from equilib.jax.traced.driver import Evaluator


class PicardState(NamedTuple):
    """An iterate and its residual f(z) − z, arrays (batch, ...)."""

    z: jax.Array
    residual: jax.Array


@dataclass(frozen=True)
class TracedPicard:
    """Damped Picard iteration, z ← z + (1 − damping)·(f(z) − z)."""

    damping: float = 0.0

    def begin(self, _: Evaluator, z: jax.Array, residual: jax.Array) -> PicardState:
        """Return the state of the initial guess, shape (batch, ...)."""
        return PicardState(z, residual)

    def propose(self, _: Evaluator, state: PicardState) -> jax.Array:
        """Return the next iterate, shape (batch, ...)."""
        return state.z + ((1 - self.damping) * state.residual if self.damping else state.residual)

    def accept(self, _: Evaluator, __: PicardState, new: jax.Array, residual: jax.Array) -> PicardState:
        """Go on from there."""
        return PicardState(new, residual)
