"""The equation y' = cos t − y, on which integrators are tried, with its solution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equilib.arrays import Array, array_namespace
from equilib.fixed_points.linearization import Linearization


def decay(t: Array, y: Array) -> Array:
    """Return cos t − y, of the shape of y."""
    return array_namespace(y).cos(t) - y


def linearized_decay(f: Callable[[Array, Array], Array], t: Array, y: Array) -> Linearization:
    """Return f, which is `decay`, with its products, of the shape of y: not every array library can be traced."""
    return Linearization(value=f(t, y), jvp=lambda v: -v, vjp=lambda w: -w, inputs_vjp=lambda w: ())


def decayed(y0: np.ndarray, t: float) -> np.ndarray:
    """Return y(t), of the shape of y(0)."""
    y: np.ndarray = (np.cos(t) + np.sin(t)) / 2 + (y0 - 0.5) * np.exp(-t)
    return y
