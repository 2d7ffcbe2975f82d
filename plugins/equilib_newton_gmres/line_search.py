"""How far to go along a Newton step."""

from __future__ import annotations

import numpy as np

# Kelley 1995, §8.1: sufficient decrease, and the range in which a step length may shrink at once.
SUFFICIENT = 1e-4
SHRINK_MOST, SHRINK_LEAST = 0.1, 0.5


def sufficient_decrease(norm: np.ndarray, before: np.ndarray, length: np.ndarray, forcing: np.ndarray) -> np.ndarray:
    """Tell which samples satisfy ‖r(z + λd)‖ ≤ (1 − 10⁻⁴ λ (1 − η)) ‖r(z)‖ (Eisenstat & Walker 1994, eq. 2.1).

    Not-a-number is not a decrease.
    """
    return norm <= (1 - SUFFICIENT * length * (1 - forcing)) * before


def shorter(norm: np.ndarray, before: np.ndarray, length: np.ndarray, forcing: np.ndarray) -> np.ndarray:
    """Return the next λ: the minimum of the parabola through ‖r‖² at 0 and λ with slope −2(1 − η)‖r(0)‖² at 0.

    Kept between a tenth and a half of λ (Kelley 1995, §8.3.1); a tenth where ‖r‖ is not finite.
    """
    slope = -2 * (1 - forcing) * before**2
    with np.errstate(all="ignore"):
        curvature = norm**2 - before**2 - slope * length
        best = -slope * length**2 / (2 * curvature)
    best = np.where(np.isfinite(best) & (curvature > 0), best, SHRINK_MOST * length)
    return np.clip(best, SHRINK_MOST * length, SHRINK_LEAST * length)
