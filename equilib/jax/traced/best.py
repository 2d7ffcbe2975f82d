"""The best iterates of a traced loop, which are copied only where a step does not improve every sample."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from equilib.jax.traced.norms import rows
from equilib.jax.traced.rare import rarely

Arrays = tuple[jax.Array, ...]
"""Arrays of shape (batch, ...)."""


class Best(NamedTuple):
    """Arrays of each sample's best place; where `here`, a scalar, these are those of the state, and `kept` are old."""

    kept: Arrays
    here: jax.Array

    @classmethod
    def at(cls, arrays: Arrays) -> Best:
        """Return the best of the first state."""
        return cls(arrays, jnp.ones((), dtype=bool))

    def where(self, state: Arrays) -> Arrays:
        """Return the arrays of the best places, given those of the last state."""
        return tuple(jnp.where(self.here, new, old) for new, old in zip(state, self.kept, strict=True))

    def after(self, improved: jax.Array, before: Arrays, new: Arrays) -> Best:
        """Return the best after a step from `before` to `new`, which has improved the samples of a mask (batch,)."""

        def parted(kept: Arrays) -> Arrays:
            old = Best(kept, self.here).where(before)
            return tuple(jnp.where(rows(improved, x), x, other) for x, other in zip(new, old, strict=True))

        whole = jnp.all(improved)
        return Best(rarely(~whole, parted, self.kept), whole)
