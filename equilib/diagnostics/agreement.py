"""Agreement of two gradients, and directional derivatives to compare them with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from equilib.arrays import Array, Tree, coefficients, to_host, tree_leaves, tree_map


@dataclass(frozen=True)
class Agreement:
    """A gradient g beside the true one t: cosine ⟨g, t⟩ / (‖g‖ ‖t‖) and relative error ‖g − t‖ / ‖t‖.

    The cosine is positive if a step against g lowers the loss, nan if one of them is zero; the error is ‖g‖ if t is.
    """

    cosine: float
    relative_error: float


def agreement(gradient: Tree, true: Tree) -> Agreement:
    """Compare two trees of arrays of the same structure."""
    own, other, apart = size(gradient), size(true), size(subtract(gradient, true))
    return Agreement(
        cosine=along(gradient, true) / (own * other) if own and other else float("nan"),
        relative_error=apart / (other or 1.0),
    )


def subtract(one: Tree, other: Tree) -> Tree:
    """Return one − other, in float64 on the host."""
    return tree_map(lambda a, b: to_host(a).astype(np.float64) - to_host(b), one, other)


def size(tree: Tree) -> float:
    """Return the Euclidean norm of all the numbers in a tree, summed in float64 on the host."""
    return float(np.sqrt(along(tree, tree)))


def along(gradient: Tree, direction: Tree) -> float:
    """Return ⟨gradient, direction⟩, summed in float64 on the host."""
    pairs = zip(tree_leaves(gradient), tree_leaves(direction), strict=True)
    return sum(float(np.sum(to_host(g).astype(np.float64) * to_host(d))) for g, d in pairs)


def random_direction(tree: Tree, rng: np.random.Generator) -> Tree:
    """Return normal random numbers, in each leaf of the size of its own, or of 1 where that is zero."""

    def draw(leaf: Array) -> Array:
        size = float(np.sqrt(np.mean(to_host(leaf).astype(np.float64) ** 2))) or 1.0
        return coefficients(size * rng.standard_normal(tuple(leaf.shape)), leaf)

    return tree_map(draw, tree)


def difference(f: Callable[[Tree], float], tree: Tree, direction: Tree, change: float) -> tuple[float, float]:
    """Return the derivative of f along `direction` by central differences, and an estimate of its error.

    Those over `change` and over half of it are extrapolated (Richardson). The estimate is what the extrapolation
    changed: more than what is left of the truncation error, and of the size of the rounding errors.
    """

    def central(step: float) -> float:
        ahead = f(tree_map(lambda leaf, d: leaf + step * d, tree, direction))
        return (ahead - f(tree_map(lambda leaf, d: leaf - step * d, tree, direction))) / (2 * step)

    coarse, fine = central(change), central(change / 2)
    extrapolated = (4 * fine - coarse) / 3
    return extrapolated, abs(extrapolated - fine)
