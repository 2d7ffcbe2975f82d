"""Gradients against central differences, one random direction for each array: fewer evaluations than numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from equilib.arrays.trees import named_leaves, tree_leaves, tree_unflatten


def slopes_by_differences(f: Callable[[Any], Any], tree: Any, step: float = 1e-5) -> dict[str, tuple[Any, float]]:
    """Return, for each leaf by name, a direction and the derivative of f along it."""
    rng = np.random.default_rng(9)
    leaves = tree_leaves(tree)
    found = {}
    for index, (name, leaf) in enumerate(named_leaves(tree)):
        direction = rng.standard_normal(leaf.shape)
        ahead, behind = (
            float(f(tree_unflatten(tree, [*leaves[:index], leaf + sign * direction, *leaves[index + 1 :]])))
            for sign in (step, -step)
        )
        found[name] = direction, (ahead - behind) / (2 * step)
    return found


def largest_error(gradient: Any, slopes: dict[str, tuple[Any, float]]) -> float:
    """Return the largest difference between slopes by the gradient and by differences, relative to the largest."""
    size = max(abs(slope) for _, slope in slopes.values())
    errors = {
        name: abs(float(np.sum(leaf * slopes[name][0])) - slopes[name][1]) for name, leaf in named_leaves(gradient)
    }
    return max(errors.values()) / size
