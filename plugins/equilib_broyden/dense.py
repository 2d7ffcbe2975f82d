"""The inverse Jacobian as a matrix, for each sample."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from equilib import Evaluator, FixedPointProblem
from equilib.arrays import Array, array_namespace, coefficients, samples_as_rows, to_host, two_norm, where_samples
from equilib.errors import NoDerivativeError
from equilib.numerics.dense import dense_jacobian, identity_like, invert_dense
from equilib.numerics.low_rank import correction

JACOBIANS = ("as-needed", "identity", "products")
"""Where an inverse begins: at −I, and again at the true Jacobian; always at −I; always at the true Jacobian."""


@dataclass(frozen=True)
class DenseInverse:
    """H, an approximation of the inverse Jacobian of f(z) − z; `matrix` has shape (batch, size, size).

    From −I the first step −H r = r is Picard's. The inverse of the true J − I costs an evaluation and as many products
    J·v as a sample has elements. `jacobian` is one of `JACOBIANS`; `begun` is false while the true Jacobian is due.
    """

    matrix: Array
    jacobian: str = "identity"
    begun: bool = True

    @classmethod
    def beginning(cls, like: Array, jacobian: str) -> DenseInverse:
        """Return −I, with which no step has been taken yet."""
        return cls(_picard(like), jacobian, begun=jacobian != "products")

    def apply(self, x: Array) -> Array:
        """Return H x."""
        xp = array_namespace(x)
        return xp.reshape(xp.matmul(self.matrix, samples_as_rows(x)[:, :, None]), x.shape)

    def transposed(self) -> DenseInverse:
        """Return Hᵀ."""
        return DenseInverse(array_namespace(self.matrix).matrix_transpose(self.matrix))

    def restarted(self, f: Evaluator | FixedPointProblem, z: Array, samples: np.ndarray) -> DenseInverse:
        """Forget what the given samples, bool (batch,), have learned, and begin again at z.

        With "as-needed", a problem whose products cannot be had leaves "identity" from then on.
        """
        samples = samples if self.begun else np.ones_like(samples)
        if not np.count_nonzero(samples):
            return self
        true = None if self.jacobian == "identity" else self._true(f, z, samples)
        fresh = _picard(z) if true is None else true
        jacobian = "identity" if true is None else self.jacobian
        return DenseInverse(where_samples(samples, fresh, self.matrix), jacobian)

    def _true(self, f: Evaluator | FixedPointProblem, z: Array, samples: np.ndarray) -> Array | None:
        try:
            J = dense_jacobian(f.linearize(z))
        except NoDerivativeError:
            if self.jacobian == "as-needed":
                return None
            raise
        H = invert_dense(J - identity_like(J), samples)
        size = to_host(two_norm(H))
        # Zeros, where J is not finite or is I, would never move.
        return where_samples(np.isfinite(size) & (size > 0), H, _picard(z))

    def with_room(self) -> DenseInverse:
        """Return H: a matrix forgets nothing."""
        return self

    def updated(self, step: Array, change: Array, image: Array) -> DenseInverse:
        """Return the good Broyden update of H; `image` is H·change."""
        right = samples_as_rows(self.transposed().apply(step))
        left, right = correction(samples_as_rows(step - image), right, samples_as_rows(change))
        return replace(self, matrix=self.matrix + left[:, :, None] * right[:, None, :])

    def apply_updated(self, x: Array, before: Array) -> Array:
        """Return H x."""
        return self.apply(x)


def _picard(like: Array) -> Array:
    batch, size = samples_as_rows(like).shape
    return coefficients(np.tile(-np.eye(size), (batch, 1, 1)), like)
