"""Backtracking line search along a Newton step, which Newton's methods share.

In the core because several plugins need it and none may import another.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from equilib.arrays import Array, coefficients, host_norm, rows_like, where_samples
from equilib.fixed_points.evaluator import Evaluator
from equilib.fixed_points.linearization import Linearization

# Kelley 1995, §8.1: sufficient decrease, and the range in which a step length may shrink at once.
SUFFICIENT = 1e-4
SHRINK_MOST, SHRINK_LEAST = 0.1, 0.5


@dataclass(frozen=True)
class NewtonPoint:
    """An iterate, its residual f(z) − z with its Euclidean norm, shape (batch,), and f's linearization there."""

    z: Array
    residual: Array
    norm: np.ndarray
    linear: Linearization = field(repr=False)

    @classmethod
    def at(cls, f: Evaluator, z: Array) -> NewtonPoint:
        """Evaluate and linearize f at z, shape (batch, ...)."""
        linear = f.linearize(z)
        residual = linear.value - z
        return cls(z, residual, host_norm(residual), linear)


def line_search(
    f: Evaluator, point: NewtonPoint, direction: Array, *, forcing: np.ndarray, backtracks: int
) -> tuple[NewtonPoint, np.ndarray]:
    """Go along `direction` until ‖f(z) − z‖ has decreased sufficiently, for each sample by itself.

    Residuals are measured in the Euclidean norm, whatever the norm of the convergence test: an inexact Newton step is
    sure to descend in that one. The direction d, shape (batch, ...), has ‖(I − J) d − r‖ ≤ η‖r‖ with the forcing terms
    η, shape (batch,).

    Returns the point and the active samples without a decrease, bool of shape (batch,): those whose step was shortened
    so many times in vain, and which stay where they were.
    """
    length = np.ones(point.norm.shape)
    for _ in range(backtracks + 1):
        new = NewtonPoint.at(f, moved(point.z, direction, length))
        rejected = f.active & ~sufficient_decrease(new.norm, point.norm, length, forcing)
        if not rejected.any():
            return new, rejected
        length = np.where(rejected, next_length(new.norm, point.norm, length, forcing), length)
    return NewtonPoint.at(f, moved(point.z, direction, np.where(rejected, 0.0, length))), rejected


def sufficient_decrease(norm: np.ndarray, before: np.ndarray, length: np.ndarray, forcing: np.ndarray) -> np.ndarray:
    """Tell, shape (batch,), where ‖r(z + λd)‖ ≤ (1 − 10⁻⁴ λ (1 − η)) ‖r(z)‖ (Eisenstat & Walker 1994, eq. 2.1).

    Not-a-number is not a decrease.
    """
    return np.asarray(norm <= (1 - SUFFICIENT * length * (1 - forcing)) * before)


def next_length(norm: np.ndarray, before: np.ndarray, length: np.ndarray, forcing: np.ndarray) -> np.ndarray:
    """Return the next λ, shape (batch,): the minimum of the parabola through ‖r‖² with slope −2(1 − η)‖r(0)‖² at 0.

    Kept between a tenth and a half of λ (Kelley 1995, §8.3.1); a tenth where ‖r‖ is not finite.
    """
    slope = -2 * (1 - forcing) * before**2
    with np.errstate(all="ignore"):
        curvature = norm**2 - before**2 - slope * length
        best = -slope * length**2 / (2 * curvature)
    best = np.where(np.isfinite(best) & (curvature > 0), best, SHRINK_MOST * length)
    return np.clip(best, SHRINK_MOST * length, SHRINK_LEAST * length)


def moved(z: Array, direction: Array, length: np.ndarray) -> Array:
    """Return z + λd, shape (batch, ...), and z where λ = 0: selected, not multiplied, since a direction may be nan."""
    return where_samples(length != 0, z + rows_like(coefficients(length, direction), direction) * direction, z)
