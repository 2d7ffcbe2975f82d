"""Floating-point types of trees of arrays."""

from __future__ import annotations

from equilib.arrays.namespaces import Array, array_namespace, is_array
from equilib.arrays.trees import Tree, tree_map

DTYPES = ("float32", "float64")
"""The names of the floating-point types that models compute in."""


def in_dtype(tree: Tree, dtype: str | None) -> Tree:
    """Return the tree with its floating-point arrays, of any shape, in a dtype by name; as it is for None.

    Integers, truth values and what is no array stay: `in_dtype(model.init(rng), "float64")` are the parameters of a
    model that computes in float64, for inputs of that dtype.
    """
    if dtype is None:
        return tree

    def cast(leaf: Array) -> Array:
        if not is_array(leaf):
            return leaf
        xp = array_namespace(leaf)
        return xp.astype(leaf, getattr(xp, dtype)) if xp.isdtype(leaf.dtype, "real floating") else leaf

    return tree_map(cast, tree)
