"""The inverse Jacobian as a matrix, for each sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib.arrays import Array, array_namespace, coefficients, samples_as_rows, where_samples
from equilib_broyden.low_rank import divided


@dataclass(frozen=True)
class DenseInverse:
    """H, an approximation of the inverse Jacobian of f(z) − z; `matrix` has shape (batch, size, size)."""

    matrix: Array

    @classmethod
    def picard(cls, like: Array) -> DenseInverse:
        """Return H = −I, whose first step −H r = r is Picard's."""
        return cls(_minus_identity(samples_as_rows(like)))

    def apply(self, x: Array) -> Array:
        """Return H x."""
        return _apply(self.matrix, x)

    def transposed(self) -> DenseInverse:
        """Return Hᵀ."""
        return DenseInverse(array_namespace(self.matrix).matrix_transpose(self.matrix))

    def restarted(self, samples: np.ndarray) -> DenseInverse:
        """Return to −I for the given samples, bool (batch,)."""
        if not samples.any():
            return self
        return DenseInverse(where_samples(samples, _minus_identity(self.matrix), self.matrix))

    def updated(self, step: Array, change: Array) -> DenseInverse:
        """Return the good Broyden update of H."""
        right = samples_as_rows(self.transposed().apply(step))
        left = divided(samples_as_rows(step - self.apply(change)), right, samples_as_rows(change))
        return DenseInverse(self.matrix + left[:, :, None] * right[:, None, :])


def _apply(matrix: Array, x: Array) -> Array:
    xp = array_namespace(x)
    return xp.reshape(xp.matmul(matrix, samples_as_rows(x)[:, :, None]), x.shape)


def _minus_identity(like: Array) -> Array:
    """Return −I for each sample, of shape (batch, size, size) as the first two axes of `like` say."""
    batch, size = like.shape[:2]
    return coefficients(np.broadcast_to(-np.eye(size), (batch, size, size)), like)
