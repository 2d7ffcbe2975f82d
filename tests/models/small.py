"""A cell of two dense layers, with the formula that it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib import ops
from equilib.arrays.trees import tree_map
from equilib.layers import Chain, Dense
from equilib.models import InjectedCell

CELL = InjectedCell(Dense(4, 5), Dense(5, 5), Chain(ops.tanh))


def drawn(deq: Any, scale: float = 0.5) -> Any:
    """Draw parameters in float64; the recurrent weights are scaled."""
    rng = np.random.default_rng(3)
    params = tree_map(lambda leaf: leaf + 0.1 * rng.standard_normal(leaf.shape), deq.init(rng))
    params["cell"]["recur"] = tree_map(lambda leaf: scale * leaf, params["cell"]["recur"])
    return params


def batch(rng: np.random.Generator) -> np.ndarray:
    """Draw inputs of the cell."""
    return rng.standard_normal((3, 4))


def by_hand(params: Any, z: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return f(z, x) = tanh(z W + b + (x U + c))."""
    inject, recur = params["cell"]["inject"], params["cell"]["recur"]
    return np.tanh(z @ recur["weight"] + recur["bias"] + (x @ inject["weight"] + inject["bias"]))
