"""Butcher tableaus that check themselves: a wrong digit fails when the module is imported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib_ode.order_conditions import defect

ROUNDING = 2e-13
"""What coefficients of up to 16 digits, some of them near 100, leave of an order condition."""


@dataclass(frozen=True, eq=False)
class ButcherTableau:
    """The coefficients of an explicit Runge-Kutta pair whose last stage is the first of the next step (FSAL).

    Raises ValueError if the order conditions do not hold.
    """

    # Row i holds the weights of stages 0 .. i−1 in stage i; the first row is empty, the last is b.
    a: tuple[tuple[float, ...], ...]
    error: tuple[float, ...]  # weights of the error estimate, b̂ − b or its negative
    interpolant: tuple[tuple[float, ...], ...]  # row i holds the coefficients of θ, θ², ... in the weight bᵢ(θ)
    order: int
    embedded_order: int
    interpolant_order: int

    def __post_init__(self) -> None:
        matrix, b, error, dense = self.matrix, self.b, np.asarray(self.error), np.asarray(self.interpolant)
        if dense.shape[0] != b.size or error.size != b.size:
            raise ValueError(
                f"the tableau has {b.size} stages, {error.size} error weights, {dense.shape[0]} weights b(θ)"
            )
        checks = {
            f"order {self.order} of b": defect(matrix, b, self.order),
            f"order {self.embedded_order} of the embedded method": min(
                defect(matrix, b + error, self.embedded_order), defect(matrix, b - error, self.embedded_order)
            ),
            "b(1) = b": float(np.max(np.abs(dense.sum(axis=1) - b))),
        }
        for theta in (0.3, 0.7):
            weights = dense @ theta ** np.arange(1, dense.shape[1] + 1)
            name = f"order {self.interpolant_order} of the interpolant at {theta}"
            checks[name] = defect(matrix, weights, self.interpolant_order, theta)
        for name, value in checks.items():
            if not value <= ROUNDING:
                raise ValueError(f"the tableau violates {name} by {value:.1e}: a coefficient is wrong")

    @property
    def matrix(self) -> np.ndarray:
        """The square matrix A."""
        return np.asarray([row + (0.0,) * (len(self.a) - len(row)) for row in self.a])

    @property
    def b(self) -> np.ndarray:
        """The weights of the solution."""
        return np.asarray(self.matrix[-1])

    @property
    def c(self) -> tuple[float, ...]:
        """The nodes: the row sums of A."""
        return tuple(float(sum(row)) for row in self.a)
