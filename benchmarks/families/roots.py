"""Fixed points found in float64 without equilib."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import root

from benchmarks.families.derivatives import jacobians

STEPS = 12
"""Newton steps from where a solver ended; what is not found by then is left to MINPACK."""

EXACT = 1e-11
"""Residual, relative to z, of what counts as a fixed point in float64."""


@np.errstate(all="ignore")
def refined(f: Callable[..., Any], z: np.ndarray, *inputs: np.ndarray) -> np.ndarray:
    """Return the fixed point that Newton's method, or else MINPACK, finds from each row of z, else nan."""
    found = z.copy()
    identity = np.eye(z.shape[1])
    for _ in range(STEPS):
        residual = f(found, *inputs) - found
        done = _exact(found, residual)
        if done.all():
            return found
        A = identity - jacobians(f, found, *inputs)
        usable = ~done & np.isfinite(A).all(axis=(1, 2)) & np.isfinite(residual).all(axis=1)
        step = np.linalg.pinv(np.where(usable[:, None, None], A, identity)) @ np.where(
            usable[:, None, None], residual[:, :, None], 0.0
        )
        found = found + step[:, :, 0]
    for row in np.flatnonzero(~_exact(found, f(found, *inputs) - found)):
        found[row] = _by_minpack(f, z[row], *(each[row : row + 1] for each in inputs))
    return found


def _exact(z: np.ndarray, residual: np.ndarray) -> np.ndarray:
    size, scale = np.max(np.abs(residual), axis=1), np.max(np.abs(z), axis=1)
    exact: np.ndarray = np.isfinite(scale) & (size <= EXACT * scale)
    return exact


def _by_minpack(f: Callable[..., Any], z: np.ndarray, *inputs: np.ndarray) -> np.ndarray:
    def residual(z: np.ndarray) -> np.ndarray:
        value: np.ndarray = f(z[None], *inputs)[0] - z
        return value

    def derivative(z: np.ndarray) -> np.ndarray:
        value: np.ndarray = jacobians(f, z[None], *inputs)[0] - np.eye(len(z))
        return value

    for method in ("hybr", "lm"):
        if np.isfinite(residual(z)).all():
            found = root(residual, z, jac=derivative, method=method, tol=1e-14).x
            if _exact(found[None], residual(found)[None])[0]:
                return np.asarray(found)
    return np.full_like(z, np.nan)
