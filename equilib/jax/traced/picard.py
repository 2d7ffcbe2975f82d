"""Picard iteration inside of a traced loop."""

from __future__ import annotations

from dataclasses import dataclass

import jax

from equilib.jax.traced.driver import Evaluator
from equilib.jax.traced.places import ByImage


@dataclass(frozen=True)
class TracedPicard:
    """Damped Picard iteration, z ← z + (1 − damping)·(f(z) − z)."""

    damping: float = 0.0

    def init(self, f: Evaluator, z: jax.Array) -> ByImage:
        """Return the state of the initial guess, shape (batch, ...)."""
        return ByImage(z, f.image(z))

    def propose(self, f: Evaluator, state: ByImage) -> jax.Array:
        """Return f at the next iterate, shape (batch, ...)."""
        return f.image(self._next(state))

    def accept(self, _: Evaluator, state: ByImage, image: jax.Array) -> ByImage:
        """Go on from there."""
        return ByImage(self._next(state), image)

    def _next(self, place: ByImage) -> jax.Array:
        return place.z + (1 - self.damping) * place.residual if self.damping else place.image
