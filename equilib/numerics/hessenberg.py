"""The small least-squares problem inside GMRES, one for each sample, by Givens rotations on the host.

The product Q of the rotations is kept, so that a column takes one product with a small matrix instead of some calls for
each rotation: these matrices are so small that the calls are what costs.
"""

from __future__ import annotations

import numpy as np


class HessenbergLeastSquares:
    """Minimize ‖β e₁ − H y‖ for Hessenberg matrices H that grow by a column (Saad 2003, §6.5.3).

    `beta`, shape (batch,), are the norms of the right-hand sides; there are `size` columns so far, at most `capacity`;
    `precision` is the size of the rounding errors in a column, relative to its norm. A diagonal element of the
    triangular factor that is no larger is rounding, and its column changes nothing but the size of the solution.
    """

    def __init__(self, beta: np.ndarray, capacity: int, precision: float) -> None:
        batch = beta.shape[0]
        self.size = 0
        self._precision = precision
        self._triangle = np.zeros((batch, capacity, capacity))
        self._turned = np.tile(np.eye(capacity + 1), (batch, 1, 1))
        self._rhs = np.zeros((batch, capacity + 1))
        self._rhs[:, 0] = beta

    def append(self, column: np.ndarray, running: np.ndarray) -> np.ndarray:
        """Add a column, shape (batch, size + 2), for the samples in `running`; return the residual norms of those."""
        j = self.size
        if np.count_nonzero(running) < len(running):
            column = np.where(running[:, None], column, 0.0)
        rounding = self._precision * np.sqrt(np.vecdot(column, column))
        turned = self._turned[:, : j + 2, : j + 2]
        column = np.matmul(turned, column[:, :, None])[:, :, 0]
        length = np.hypot(column[:, j], column[:, j + 1])
        regular = length > rounding
        safe = np.where(regular, length, 1.0)
        # Where the column adds nothing, this turn keeps the residual as it is.
        cosine = np.where(regular, column[:, j] / safe, 0.0)
        sine = np.where(regular, column[:, j + 1] / safe, 1.0)
        self._triangle[:, :j, j] = column[:, :j]
        self._triangle[:, j, j] = np.where(regular, length, 0.0)
        # Outside of `running` all columns to come are zero: Q no longer matters there.
        upper, lower = turned[:, j].copy(), turned[:, j + 1].copy()
        turned[:, j] = cosine[:, None] * upper + sine[:, None] * lower
        turned[:, j + 1] = cosine[:, None] * lower - sine[:, None] * upper
        rest = self._rhs[:, j]
        self._rhs[:, j + 1] = np.where(running, -sine * rest, self._rhs[:, j + 1])
        self._rhs[:, j] = np.where(running, cosine * rest, rest)
        self.size += 1
        return np.abs(self._rhs[:, j + 1])

    def solve(self) -> np.ndarray:
        """Return y, shape (batch, size); zeros at columns that a sample does not have or that add nothing."""
        size = self.size
        diagonal = np.diagonal(self._triangle, axis1=1, axis2=2)[:, :size]
        used = diagonal > 0
        # The other elements get equations of their own, y = 0. Without elements below the diagonal, elimination is
        # substitution.
        triangle = np.where(used[:, :, None], self._triangle[:, :size, :size], np.eye(size))
        return np.asarray(np.linalg.solve(triangle, np.where(used, self._rhs[:, :size], 0.0)[:, :, None])[:, :, 0])
