"""Products of Hessians with vectors, in every nest of forward and reverse mode, and by differences of gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from equilib import ops
from equilib.arrays.trees import tree_leaves, tree_map
from equilib.autodiff import linearize, value_and_grad

Loss = Callable[[Any], Any]


def gradient(loss: Loss) -> Callable[[Any], Any]:
    """Return the gradient of a loss as a function."""
    return lambda at: value_and_grad(loss, allow_unused=True)(at)[1]


def slope(loss: Loss, along: Any) -> Callable[[Any], Any]:
    """Return the derivative of a loss in a direction as a function, by forward mode."""
    return lambda at: linearize(loss, at).jvp(along)


def inner(one: Any, other: Any) -> Any:
    """Return Σ one·other of two trees, which may be traced."""
    products = [ops.sum(ops.multiply(a, b)) for a, b in zip(tree_leaves(one), tree_leaves(other), strict=True)]
    total = products[0]
    for each in products[1:]:
        total = ops.add(total, each)
    return total


MODES: dict[str, Callable[[Loss, Any, Any], Any]] = {
    "forward over reverse": lambda loss, at, v: linearize(gradient(loss), at).jvp(v),
    "reverse over forward": lambda loss, at, v: gradient(slope(loss, v))(at),
    "reverse over reverse": lambda loss, at, v: gradient(lambda at: inner(gradient(loss)(at), v))(at),
}
"""For each nest the product H·v of the Hessian of a loss, a tree like `at` and v."""


def by_differences(loss: Loss, at: Any, v: Any, step: float = 1e-5) -> Any:
    """Return H·v as the central difference of gradients."""
    moved = [tree_map(lambda a, b, sign=sign: a + sign * step * b, at, v) for sign in (1, -1)]
    ahead, behind = (gradient(loss)(each) for each in moved)
    return tree_map(lambda a, b: (a - b) / (2 * step), ahead, behind)


def off(found: Any, expected: Any) -> float:
    """Return the largest difference of two trees relative to the largest element of the second."""
    pairs = list(zip(tree_leaves(found), tree_leaves(expected), strict=True))
    size = max(float(np.max(np.abs(other))) for _, other in pairs)
    return max(float(np.max(np.abs(one - other))) for one, other in pairs) / size


def drawn_like(tree: Any, seed: int = 4) -> Any:
    """Draw a direction."""
    rng = np.random.default_rng(seed)
    return tree_map(lambda leaf: rng.standard_normal(leaf.shape).astype(leaf.dtype), tree)
