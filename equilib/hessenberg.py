"""The small least-squares problem inside GMRES, one for each sample, by Givens rotations on the host."""

from __future__ import annotations

import numpy as np


class HessenbergLeastSquares:
    """Minimize ‖β e₁ − H y‖ for Hessenberg matrices H that grow by a column (Saad 2003, §6.5.3).

    Parameters
    ----------
    beta : ndarray, shape (batch,)
        Norms of the right-hand sides.
    capacity : int
        Largest number of columns.
    precision : float
        Size of the rounding errors in a column, relative to its norm. A diagonal element of the triangular factor
        that is no larger is rounding, and its column changes nothing but the size of the solution.

    Attributes
    ----------
    size : int
        Number of columns so far.
    """

    def __init__(self, beta: np.ndarray, capacity: int, precision: float) -> None:
        batch = beta.shape[0]
        self.size = 0
        self._precision = precision
        self._triangle = np.zeros((batch, capacity, capacity))
        self._rotations = np.zeros((2, batch, capacity))
        self._rhs = np.zeros((batch, capacity + 1))
        self._rhs[:, 0] = beta
        self._used = np.zeros(batch, dtype=int)

    def append(self, column: np.ndarray, running: np.ndarray) -> np.ndarray:
        """Add a column, shape (batch, size + 2), for the samples in `running`; return their residual norms."""
        j = self.size
        rounding = self._precision * np.linalg.norm(column, axis=1)
        column = column.copy()
        cosines, sines = self._rotations
        for i in range(j):
            upper, lower = column[:, i].copy(), column[:, i + 1].copy()
            column[:, i] = cosines[:, i] * upper + sines[:, i] * lower
            column[:, i + 1] = -sines[:, i] * upper + cosines[:, i] * lower
        length = np.hypot(column[:, j], column[:, j + 1])
        length = np.where(length > rounding, length, 0.0)
        safe = np.where(length > 0, length, 1.0)
        cosines[:, j] = np.where(length > 0, column[:, j] / safe, 1.0)
        sines[:, j] = np.where(length > 0, column[:, j + 1] / safe, 0.0)
        column[:, j] = length
        self._triangle[:, : j + 1, j] = column[:, : j + 1]
        self._rhs[:, j + 1] = np.where(running, -sines[:, j] * self._rhs[:, j], self._rhs[:, j + 1])
        self._rhs[:, j] = np.where(running, cosines[:, j] * self._rhs[:, j], self._rhs[:, j])
        self._used = np.where(running, j + 1, self._used)
        self.size += 1
        return np.abs(self._rhs[:, j + 1])

    def solve(self) -> np.ndarray:
        """Return y, shape (batch, size); zeros beyond the columns that a sample used, or where H is singular."""
        y = np.zeros((self._rhs.shape[0], self.size))
        for i in reversed(range(self.size)):
            diagonal = self._triangle[:, i, i]
            rest = self._rhs[:, i] - np.sum(self._triangle[:, i, i + 1 : self.size] * y[:, i + 1 :], axis=1)
            usable = (i < self._used) & (diagonal > 0) & np.isfinite(rest)
            y[:, i] = np.where(usable, rest / np.where(diagonal > 0, diagonal, 1.0), 0.0)
        return y
