"""Activations and their slopes, number by number."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from equilib_numba.addresses import address
from equilib_numba.scratch import plain
from equilib_numba.team import run

NAMES = ("tanh", "sigmoid", "relu", "gelu", "tanh_slope", "sigmoid_slope", "relu_slope", "gelu_slope")
PULLS = ("tanh", "sigmoid", "relu")

BLOCK = 1 << 14
"""Numbers of a share."""


def _call(kind: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y, out = plain(x), plain(y), np.empty(x.shape, x.dtype)
    formulas = address("elementwise.formulas", x.dtype)
    run("elementwise.block", x.dtype, -(-x.size // BLOCK), formulas, kind, x, y, out, x.size)
    return out


def function(name: str) -> Any:
    """Return the activation or slope of a name as a function of an array."""
    return partial(_of_one, NAMES.index(name))


def _of_one(kind: int, x: np.ndarray) -> np.ndarray:
    return _call(kind, x, x)


def times_slope(v: np.ndarray, y: np.ndarray, activation: str) -> np.ndarray:
    """Return v φ'(x) where y = φ(x), of arrays of one shape."""
    return _call(len(NAMES) + PULLS.index(activation), v, y)
