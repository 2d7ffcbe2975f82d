"""Functions of samples of which some are nan, and derivatives that take nothing from these."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equilib import ops
from equilib.arrays import (
    Array,
    Tree,
    array_namespace,
    coefficients,
    from_host,
    rows_like,
    samples_as_rows,
    take_rows,
    to_host,
    tree_leaves,
    tree_map,
    zeros_like,
)
from equilib.autodiff import static_value


def by_sample(function: Callable[[Tree], Tree], x: Tree) -> Tree:
    """Return function(x), whose derivative takes nothing from samples of x, arrays (batch, ...), that are nan.

    Where x and the result are nan, the result is that of another sample, plus nan: zero cotangents there stay zero in
    what samples share, and others become what the rest of the model makes of nan.
    """
    result = function(x)
    sick = _nan_samples(x)
    sick = sick & _nan_samples(result) if sick.any() else sick
    if not sick.any():
        return result
    fit = np.flatnonzero(~sick)
    rows = np.where(sick, fit[0], np.arange(sick.size)) if fit.size else None

    def replaced(leaf: Array) -> Array:
        value = static_value(leaf)
        other = zeros_like(value) if rows is None else take_rows(value, rows)
        return ops.where(rows_like(from_host(sick, value), value), other, leaf)

    def marked(leaf: Array, before: Array) -> Array:
        like, nan = static_value(leaf), np.where(sick & _nan_samples(before), np.nan, 0.0)
        return ops.add(leaf, rows_like(coefficients(nan, like), like)) if nan.any() else leaf

    return tree_map(marked, function(tree_map(replaced, x)), result)


@np.errstate(all="ignore")
def _nan_samples(tree: Tree) -> np.ndarray:
    """Return which samples of the arrays of a tree, shape (batch, ...), have nan in them, shape (batch,)."""
    found = np.zeros(1, dtype=bool)
    for array in map(static_value, tree_leaves(tree)):
        xp = array_namespace(array)
        if array.ndim and xp.isdtype(array.dtype, "real floating"):
            found = found | np.asarray(to_host(xp.any(xp.isnan(samples_as_rows(array)), axis=1)))
    return found
