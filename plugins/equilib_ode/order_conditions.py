"""The order conditions of Runge-Kutta methods, from rooted trees (Butcher; Hairer, Nørsett & Wanner I, §II.2)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TypeAlias

import numpy as np

RootedTree: TypeAlias = tuple["RootedTree", ...]
"""The subtrees at the root; () is the tree with one vertex."""


@cache
def rooted_trees(order: int) -> tuple[RootedTree, ...]:
    """Return the rooted trees with `order` vertices."""
    return tuple(sorted({tuple(sorted(forest)) for forest in _forests(order - 1)}))


def _forests(vertices: int) -> Iterator[RootedTree]:
    if vertices == 0:
        yield ()
    for first in range(1, vertices + 1):
        for tree in rooted_trees(first):
            for rest in _forests(vertices - first):
                yield (tree, *rest)


def vertices(tree: RootedTree) -> int:
    """Return the number of vertices."""
    return 1 + sum(vertices(subtree) for subtree in tree)


def density(tree: RootedTree) -> int:
    """Return γ(τ) = |τ| · Π γ(subtrees)."""
    return vertices(tree) * int(np.prod([density(subtree) for subtree in tree], dtype=int))


def stage_weights(a: np.ndarray, tree: RootedTree) -> np.ndarray:
    """Return Φ(τ) at each stage: the product over the subtrees of A Φ(subtree)."""
    product = np.ones(a.shape[0])
    for subtree in tree:
        product = product * (a @ stage_weights(a, subtree))
    return product


def defect(a: np.ndarray, b: np.ndarray, order: int, theta: float = 1.0) -> float:
    """Return the largest |Σ bᵢ Φᵢ(τ) − θ^|τ| / γ(τ)| over the trees of up to `order` vertices."""
    trees = [tree for size in range(1, order + 1) for tree in rooted_trees(size)]
    return max(abs(float(b @ stage_weights(a, tree)) - theta ** vertices(tree) / density(tree)) for tree in trees)
