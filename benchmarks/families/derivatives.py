"""Products with the Jacobian of an analytic map by the complex step (Squire & Trapp 1998, SIAM Review 40(1))."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

TINY = 1e-40
"""The imaginary step, relative to the size of z: its square vanishes beside 1."""


@np.errstate(all="ignore")  # where f overflows, so does its derivative
def product(f: Callable[..., Any], z: np.ndarray, v: np.ndarray, *inputs: np.ndarray) -> np.ndarray:
    """Return J v, shape and dtype of z: the imaginary part of f(z + i h v), over h."""
    size = np.max(np.abs(v), axis=1, keepdims=True).astype(np.float64)
    usable = np.isfinite(size) & (size > 0)
    unit = v / np.where(usable, size, 1.0)
    largest = np.max(np.abs(z), axis=1, keepdims=True).astype(np.float64)
    h = TINY * np.where(np.isfinite(largest) & (largest > 0), largest, 1.0)
    image = np.imag(f(z + 1j * (h * unit), *(each.astype(np.float64) for each in inputs)))
    return np.where(usable, image / h * size, 0 * v).astype(z.dtype)


def jacobians(f: Callable[..., Any], z: np.ndarray, *inputs: np.ndarray) -> np.ndarray:
    """Return J, shape (batch, n, n), column by column."""
    units = np.eye(z.shape[1], dtype=z.dtype)
    return np.stack([product(f, z, np.broadcast_to(unit, z.shape), *inputs) for unit in units], axis=2)


def transposed_product(f: Callable[..., Any], z: np.ndarray, w: np.ndarray, *inputs: np.ndarray) -> np.ndarray:
    """Return Jᵀ w, shape and dtype of z."""
    transposed: np.ndarray = np.einsum("bij,bi->bj", jacobians(f, z, *inputs), w)
    return transposed
