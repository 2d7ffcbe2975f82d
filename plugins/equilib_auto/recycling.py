"""The inverse Jacobian that Newton's products taught: what a Krylov space knows is used again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from equilib.arrays import Array, only_samples, where_samples
from equilib.numerics.low_rank import LowRankInverse

Pair = tuple[Array, Array]
"""A vector v and (I − J) v."""


@dataclass(frozen=True)
class Recycled:
    """H = −I with a good Broyden update for each product: exact on the Krylov spaces of the last Newton steps.

    Attributes
    ----------
    owners : tuple of ndarray of bool, shape (batch,)
        The samples that each update belongs to; it is zero for the others. So what one sample has learned, and
        forgets, does not depend on its batch mates.
    """

    inverse: LowRankInverse = field(repr=False)
    owners: tuple[np.ndarray, ...] = field(default=(), repr=False)

    def forgotten(self, samples: np.ndarray) -> Recycled:
        """Return to −I for the given samples, bool (batch,), and for those that have learned all they can hold."""
        held = np.sum(self.owners, axis=0) if self.owners else 0
        samples = samples | (held >= self.inverse.memory)
        if not self.owners or not samples.any():
            return self
        owners = [each & ~samples for each in self.owners]
        alive = [i for i, each in enumerate(owners) if each.any()]
        left, right = self.inverse.left, self.inverse.right
        inverse = replace(
            self.inverse,
            left=tuple(where_samples(samples, 0 * left[i], left[i]) for i in alive),
            right=tuple(right[i] for i in alive),
        )
        return Recycled(inverse, tuple(owners[i] for i in alive))

    def taught(self, samples: np.ndarray, step: Array, change: Array) -> Recycled:
        """Update H for the given samples, so that H·change = step, both of shape (batch, ...)."""
        step = only_samples(samples, step)
        change = only_samples(samples, change)
        inverse = self.inverse.updated(step, change, self.inverse.apply(change))
        return Recycled(inverse, (*self.owners, samples))
