"""Linear maps with one matrix for each sample: all that matters about them is known."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from equilib import FixedPointProblem
from equilib.arrays import Array
from tests.arrays_under_test import lift


def linear_problem(matrices: np.ndarray, xp: ModuleType = np, dtype: str = "float64") -> FixedPointProblem:
    """Return z ↦ A z with the matrix A of each sample, shape (batch, size, size)."""
    J = lift(xp, matrices, dtype)

    def product(A: Array, v: Array) -> Array:
        return xp.matmul(A, v[..., None])[..., 0]

    return FixedPointProblem(
        lambda z: product(J, z),
        jvp=lambda z, v: product(J, v),
        vjp=lambda z, w: product(xp.matrix_transpose(J), w),
    )


def rotation(angle: float, scale: float = 1.0) -> np.ndarray:
    """Return a scaled rotation of the plane."""
    return scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
