"""The inverse Jacobian as a matrix, for each sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib.arrays import Array, array_namespace, coefficients, samples_as_rows, where_samples
from equilib.dense import dense_jacobian, identity_like, invert_dense
from equilib.problem import FixedPointProblem
from equilib_broyden.low_rank import divided


@dataclass(frozen=True)
class DenseInverse:
    """H, an approximation of the inverse Jacobian of f(z) − z; `matrix` has shape (batch, size, size).

    It begins, and begins again, as −I, whose step −H r = r is Picard's; or, with `exact`, as the inverse of J − I,
    for an evaluation and as many products J·v as a sample has elements. `begun` is false before the first step.
    """

    matrix: Array
    exact: bool = False
    begun: bool = True

    @classmethod
    def picard(cls, like: Array, *, exact: bool) -> DenseInverse:
        """Return −I, with which no step has been taken yet."""
        batch, size = samples_as_rows(like).shape
        return cls(coefficients(np.tile(-np.eye(size), (batch, 1, 1)), like), exact, begun=not exact)

    def apply(self, x: Array) -> Array:
        """Return H x."""
        xp = array_namespace(x)
        return xp.reshape(xp.matmul(self.matrix, samples_as_rows(x)[:, :, None]), x.shape)

    def transposed(self) -> DenseInverse:
        """Return Hᵀ."""
        return DenseInverse(array_namespace(self.matrix).matrix_transpose(self.matrix))

    def restarted(self, problem: FixedPointProblem, z: Array, samples: np.ndarray) -> DenseInverse:
        """Forget what the given samples, bool (batch,), have learned, and begin again at z."""
        samples = samples if self.begun else np.ones_like(samples)
        if not samples.any():
            return self
        fresh = self._exact(problem, z) if self.exact else DenseInverse.picard(z, exact=False).matrix
        return DenseInverse(where_samples(samples, fresh, self.matrix), self.exact)

    def _exact(self, problem: FixedPointProblem, z: Array) -> Array:
        J = dense_jacobian(problem.linearize(z))
        return invert_dense(J - identity_like(J), np.ones(z.shape[0], dtype=bool))

    def updated(self, step: Array, change: Array) -> DenseInverse:
        """Return the good Broyden update of H."""
        right = samples_as_rows(self.transposed().apply(step))
        left = divided(samples_as_rows(step - self.apply(change)), right, samples_as_rows(change))
        return DenseInverse(self.matrix + left[:, :, None] * right[:, None, :], self.exact)
