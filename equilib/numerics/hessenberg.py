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
        # The right-hand side stands before Q, so that each rotation turns both.
        self._turned = np.tile(np.eye(capacity + 1, capacity + 2, 1), (batch, 1, 1))
        self._turned[:, 0, 0] = beta

    def append(self, column: np.ndarray, norm: np.ndarray, running: np.ndarray) -> np.ndarray:
        """Add a column, shape (batch, size + 2), of this norm for the samples in `running`; return their residuals'."""
        j = self.size
        if np.count_nonzero(running) < len(running):
            column, norm = np.where(running[:, None], column, 0.0), np.where(running, norm, 0.0)
        rounding = self._precision * norm
        turned = self._turned[:, : j + 2, : j + 3]
        column = np.matmul(turned[:, :, 1:], column[:, :, None])[:, :, 0]
        diagonal = length = np.hypot(column[:, j], column[:, j + 1])
        nothing = length <= rounding
        if np.count_nonzero(nothing):  # then this turn keeps the residual as it is
            column[nothing, j:] = 0.0, 1.0
            diagonal, length = np.where(nothing, 0.0, length), np.where(nothing, 1.0, length)
        self._triangle[:, :j, j] = column[:, :j]
        self._triangle[:, j, j] = diagonal
        turn = column[:, j:] / length[:, None]
        cosine, sine = turn[:, :1], turn[:, 1:]
        upper, lower = turned[:, j], turned[:, j + 1]
        turned[:, j], turned[:, j + 1] = cosine * upper + sine * lower, cosine * lower - sine * upper
        self.size += 1
        return np.abs(turned[:, j + 1, 0])

    def solve(self) -> np.ndarray:
        """Return y, shape (batch, size); zeros at columns that a sample does not have or that add nothing."""
        size = self.size
        diagonal = np.diagonal(self._triangle, axis1=1, axis2=2)[:, :size]
        used = diagonal > 0
        # The other elements get equations of their own, y = 0. Without elements below the diagonal, elimination is
        # substitution.
        triangle = np.where(used[:, :, None], self._triangle[:, :size, :size], np.eye(size))
        rhs = np.where(used, self._turned[:, :size, 0], 0.0)
        return np.asarray(np.linalg.solve(triangle, rhs[:, :, None])[:, :, 0])
