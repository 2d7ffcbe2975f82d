"""The protocol of a linear solver: A x = b for each sample, with A given by its products."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from equilib.arrays import Array


class LinearSolver(Protocol):
    """**Protocol:** solve A x = b for each sample, with A given by its products only.

    1. Be a frozen dataclass; its fields are its options.
    2. Reduce ‖b − A x‖ of sample i to `rtol[i]`·‖b‖, or do your best and return.
    3. Return zeros for samples that are not `active`, whatever b holds there.
    """

    def solve(self, matvec: MatVec, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Return x, of the shape and dtype of b, starting from x = 0.

        Parameters
        ----------
        matvec : callable
            v ↦ A v, of the shape of b.
        b : array, shape (batch, ...)
        rtol : ndarray, shape (batch,)
        active : ndarray of bool, shape (batch,)
            Samples that are to be solved.

        Returns
        -------
        array, shape (batch, ...)
            x, with zeros for samples that are not active or whose b is zero or not finite.
        """


class MatVec(Protocol):
    """**Protocol:** a linear map that takes and returns arrays of one shape, sample by sample."""

    def __call__(self, v: Array, /) -> Array:
        """Return A v, of the shape and dtype of v."""


@runtime_checkable
class GivesResidual(Protocol):
    """**Protocol:** a linear solver that knows its residual without a further product."""

    def solve_with_residual(
        self, matvec: MatVec, b: Array, *, rtol: np.ndarray, active: np.ndarray
    ) -> tuple[Array, Array]:
        """Return x of `LinearSolver.solve`, and b − A x, shape (batch, ...); b where x is zero, whatever b holds."""
