"""The network of the neural-ODE tutorial."""

from __future__ import annotations

import numpy as np

from benchmarks.named_params import named
from benchmarks.peers.exchange import Arrays
from equilib import ops
from equilib.arrays.trees import Tree
from equilib.layers import Chain, Dense, Flatten


def layers() -> tuple[Chain, Chain, Dense]:
    """Return what comes before the ODE, its right-hand side, and what comes after."""
    right_hand_side = Chain(Dense(20, 10), ops.tanh, Dense(10, 10), ops.tanh, Dense(10, 20), ops.tanh)
    return Chain(Flatten(), Dense(28 * 28, 20), ops.tanh), right_hand_side, Dense(20, 10)


def initial_tree() -> Tree:
    """Return the initial parameters."""
    rng = np.random.default_rng(0)
    return {name: layer.init(rng) for name, layer in zip(("before", "ode", "after"), layers(), strict=True)}


def initial_params() -> Arrays:
    """Return the initial parameters by their names, as in "params/ode/0/weight"."""
    return named(initial_tree())
