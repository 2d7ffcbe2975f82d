"""Picard iteration inside of a traced loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax

from equilib.jax.traced.driver import Evaluator
from equilib.jax.traced.places import ByImage


class PicardState(NamedTuple):
    """Iterates and f(z)."""

    place: ByImage

    @property
    def z(self) -> jax.Array:
        """The iterates, shape (batch, ...)."""
        return self.place.z


@dataclass(frozen=True)
class TracedPicard:
    """Damped Picard iteration, z ← z + (1 − damping)·(f(z) − z)."""

    damping: float = 0.0

    def init(self, f: Evaluator, z: jax.Array) -> PicardState:
        """Return the state of the initial guess, shape (batch, ...)."""
        return PicardState(ByImage(z, f.image(z)))

    def propose(self, f: Evaluator, state: PicardState) -> jax.Array:
        """Return f at the next iterate, shape (batch, ...)."""
        return f.image(self._next(state.place))

    def accept(self, _: Evaluator, state: PicardState, image: jax.Array) -> PicardState:
        """Go on from there."""
        return PicardState(ByImage(self._next(state.place), image))

    def _next(self, place: ByImage) -> jax.Array:
        return place.z + (1 - self.damping) * place.residual if self.damping else place.image
