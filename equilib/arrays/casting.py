"""Floating-point types of trees of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib.arrays.namespaces import Array, array_namespace, is_array
from equilib.arrays.trees import Tree, tree_map

DTYPES = ("float32", "float64")
"""The names of the floating-point types that models compute in."""


def in_dtype(tree: Tree, dtype: Any) -> Tree:
    """Return the tree with its floating-point arrays, of any shape, in a dtype, by name or not; as it is for None.

    Integers, truth values and what is no array stay: `in_dtype(model.init(rng), "float64")` are the parameters of a
    model that computes in float64, for inputs of that dtype.

    Raises ValueError for another name.
    """
    if dtype is None:
        return tree
    name = getattr(dtype, "__name__", str(dtype)).rpartition(".")[2]
    if name not in (*DTYPES, "float16", "bfloat16"):
        raise ValueError(f"there is no floating-point type {name!r}: give {' or '.join(map(repr, DTYPES))}")

    def cast(leaf: Array) -> Array:
        if not is_array(leaf):
            return leaf
        xp = array_namespace(leaf)
        return xp.astype(leaf, getattr(xp, name)) if xp.isdtype(leaf.dtype, "real floating") else leaf

    return tree_map(cast, tree)


def as_places(x: Array) -> Array:
    """Return integers of any shape in their library's default type, which counts what there may be; bytes do not."""
    xp = array_namespace(x)
    return x if x.dtype == xp.int64 else xp.astype(x, xp.arange(0).dtype)


def is_half(x: Any) -> bool:
    """Tell whether an array, of any shape, traced or not, is of float16 or bfloat16."""
    if type(x) is np.ndarray and x.itemsize != 2:  # asked at every sum
        return False
    dtype = getattr(x, "dtype", None)
    return getattr(dtype, "itemsize", 0) == 2 and str(dtype).rpartition(".")[2] in ("float16", "bfloat16")
