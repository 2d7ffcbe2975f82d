"""Places that samples may return to: which plugins that let the residual rise need.

In the core because none may import another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib.arrays import Array, host_norm, where_samples


@dataclass(frozen=True)
class Place:
    """An iterate, its residual, and the Euclidean norm of that, shape (batch,)."""

    z: Array
    residual: Array
    norm: np.ndarray

    @classmethod
    def at(cls, z: Array, residual: Array) -> Place:
        """Measure the residual; z and residual have the shape (batch, ...)."""
        return cls(z, residual, host_norm(residual))

    def where(self, samples: np.ndarray, other: Place) -> Place:
        """Return this place for the given samples, bool of shape (batch,), and the other one for the rest."""
        count = np.count_nonzero(samples)
        if count == len(samples):
            return self
        if not count:
            return other
        return Place(
            where_samples(samples, self.z, other.z),
            where_samples(samples, self.residual, other.residual),
            np.where(samples, self.norm, other.norm),
        )
