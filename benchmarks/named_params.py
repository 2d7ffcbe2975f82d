"""Parameter trees as named arrays, which is how contestants exchange them."""

from __future__ import annotations

from benchmarks.peers.exchange import Arrays
from equilib.arrays.trees import Tree, named_leaves, tree_unflatten


def named(params: Tree) -> Arrays:
    """Return the leaves of a parameter tree by their names."""
    return {f"params/{name}": leaf for name, leaf in named_leaves(params)}


def params_like(tree: Tree, arrays: Arrays) -> Tree:
    """Return the named arrays as a tree like `tree`."""
    return tree_unflatten(tree, [arrays[f"params/{name}"] for name, _ in named_leaves(tree)])
