"""Reference gradients: finite differences of a fixed point found by patient iteration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from equilib.arrays import Array, Tree, to_host
from equilib.testing.maps import KnownMap

STEP = 1e-5
"""Of the central differences: their error, of the order of its square, is then far below the 1e-6 asked for."""

ITERATIONS = 200
"""Of a contraction by 0.7: the error is below rounding."""


def cotangent_for(known: KnownMap) -> np.ndarray:
    """Return the cotangent of a loss that weighs every element differently."""
    return np.random.default_rng(3).standard_normal(known.bias.shape)


def variation(known: KnownMap) -> Tree:
    """Return a direction in which all inputs of the map change."""
    return {"gain": np.asarray(0.8), "bias": np.random.default_rng(4).standard_normal(known.bias.shape)}


def inner_product(tree: Tree, direction: Tree) -> float:
    """Return ⟨tree, direction⟩."""
    return float(sum(np.sum(_host(tree[name]) * _host(direction[name])) for name in direction))


def directional_derivative(known: KnownMap, cotangent: np.ndarray, direction: Tree) -> float:
    """Return the derivative of ⟨cotangent, z*⟩ along `direction` by central differences."""

    def loss(step: float) -> float:
        moved = replace(
            known, gain=known.gain + step * float(direction["gain"]), bias=known.bias + step * direction["bias"]
        )
        return float(np.sum(cotangent * _fixed_point(moved)))

    return (loss(STEP) - loss(-STEP)) / (2 * STEP)


def dense_gradient(known: KnownMap, cotangent: np.ndarray) -> Tree:
    """Return the cotangents of the inputs with w = (I − J)⁻ᵀ g from the dense Jacobians."""
    if known.solution is None:
        raise ValueError(f"{known} has no fixed point")
    J = known.jacobians()
    g = cotangent.reshape(len(cotangent), -1, 1)
    w = np.linalg.solve(np.eye(J.shape[1]) - J.swapaxes(1, 2), g).reshape(cotangent.shape)
    return known.problem().linearize(known.solution).inputs_vjp(w)[0]


def _fixed_point(known: KnownMap) -> np.ndarray:
    z, inputs = known.start(), known.inputs()
    for _ in range(ITERATIONS):
        z = known(z, inputs)
    found: np.ndarray = z
    return found


def _host(array: Array) -> np.ndarray:
    return np.asarray(to_host(array))
