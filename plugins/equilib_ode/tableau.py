"""Butcher tableaus that check themselves: a wrong digit fails when the module is imported."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equilib_ode.order_conditions import defect, rooted_trees, stage_weights

ROUNDING = 2e-13
"""What coefficients of up to 16 digits, some of them near 100, leave of an order condition."""

ROOT = 1e-6
"""Size of the rounding of a root."""

APART = 1e-3
"""Distance of nodes below which they are one."""


@dataclass(frozen=True, eq=False)
class ButcherTableau:
    """The coefficients of a Runge-Kutta pair whose last stage is the first of the next step (FSAL).

    Its first stage is explicit, the others are explicit or diagonally implicit.

    Raises ValueError if the order conditions do not hold.
    """

    # Row i holds the weights of the stages before i, and of i where it is implicit; the first row is empty, the last b.
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

    @cached_property
    def c(self) -> tuple[float, ...]:
        """The nodes: the row sums of A."""
        return tuple(float(sum(row)) for row in self.a)

    @cached_property
    def stability_interval(self) -> float:
        """The largest x so that |R(−z)| ≤ 1 for 0 ≤ z ≤ x, with the R of an explicit method: of its polynomial."""
        powers = [np.ones(len(self.b))]
        for _ in self.b:
            powers.append(self.matrix @ powers[-1])
        stable = [1.0, *(float(self.b @ each) for each in powers)]
        crossings = [
            root.real
            for level in (1.0, -1.0)
            for root in np.polynomial.Polynomial([stable[0] - level, *stable[1:]]).roots()
            if abs(root.imag) < ROOT and root.real < -ROOT
        ]
        return -max(crossings)

    @cached_property
    def first_slope(self) -> tuple[float, ...]:
        """The smallest weights with 1 for the first slope whose sum vanishes as an error of the method's order does."""
        trees = [tree for size in range(1, self.order + 1) for tree in rooted_trees(size)]
        conditions = np.stack([stage_weights(self.matrix, tree) for tree in trees])
        free = np.eye(len(self.a))[0] - np.linalg.pinv(conditions, rcond=ROOT) @ conditions[:, 0]
        return tuple((free / free[0]).tolist())

    @cached_property
    def predictors(self) -> tuple[tuple[float, ...], ...]:
        """The weights of the slopes before i, row i, in the guess of slope i: the polynomial through three of them."""
        return tuple(_extrapolation(self.c[:i], self.c[i]) for i in range(len(self.c)))


def _extrapolation(nodes: tuple[float, ...], target: float) -> tuple[float, ...]:
    """Return the weights of Lagrange's polynomial through the up to three nodes next to the target."""
    near: list[int] = []
    for j in sorted(range(len(nodes)), key=lambda j: (abs(nodes[j] - target), -j)):
        if all(abs(nodes[j] - nodes[i]) > APART for i in near):
            near.append(j)
    near = near[:3]
    return tuple(
        float(np.prod([(target - nodes[i]) / (nodes[j] - nodes[i]) for i in near if i != j])) if j in near else 0.0
        for j in range(len(nodes))
    )
