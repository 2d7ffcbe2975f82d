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

    def append(self, column: np.ndarray, running: np.ndarray) -> np.ndarray:
        """Add a column, shape (batch, size + 2), for the samples in `running`; return the residual norms of those."""
        j = self.size
        column = np.where(running[:, None], column, 0.0)
        rounding = self._precision * np.linalg.norm(column, axis=1)
        cosines, sines = self._rotations
        for i in range(j):
            upper, lower = column[:, i].copy(), column[:, i + 1].copy()
            column[:, i] = cosines[:, i] * upper + sines[:, i] * lower
            column[:, i + 1] = -sines[:, i] * upper + cosines[:, i] * lower
        length = np.hypot(column[:, j], column[:, j + 1])
        regular = length > rounding
        safe = np.where(regular, length, 1.0)
        # Where the column adds nothing, this turn keeps the residual as it is.
        cosines[:, j] = np.where(regular, column[:, j] / safe, 0.0)
        sines[:, j] = np.where(regular, column[:, j + 1] / safe, 1.0)
        column[:, j] = np.where(regular, length, 0.0)
        self._triangle[:, : j + 1, j] = column[:, : j + 1]
        self._rhs[:, j + 1] = np.where(running, -sines[:, j] * self._rhs[:, j], self._rhs[:, j + 1])
        self._rhs[:, j] = np.where(running, cosines[:, j] * self._rhs[:, j], self._rhs[:, j])
        self.size += 1
        return np.abs(self._rhs[:, j + 1])

    def solve(self) -> np.ndarray:
        """Return y, shape (batch, size); zeros at columns that a sample does not have or that add nothing."""
        y = np.zeros((self._rhs.shape[0], self.size))
        for i in reversed(range(self.size)):
            diagonal = self._triangle[:, i, i]
            rest = self._rhs[:, i] - np.sum(self._triangle[:, i, i + 1 : self.size] * y[:, i + 1 :], axis=1)
            y[:, i] = np.where(diagonal > 0, rest / np.where(diagonal > 0, diagonal, 1.0), 0.0)
        return y
