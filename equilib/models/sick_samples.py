"""Functions of samples of which some are not finite, and derivatives that take nothing from these."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equilib import ops
from equilib.arrays import (
    Array,
    Tree,
    array_namespace,
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
from equilib.autodiff.custom import Traced, with_pullback


def by_sample(function: Callable[[Tree], Tree], x: Tree) -> Tree:
    """Return function(x), whose derivative takes nothing from samples of x, arrays (batch, ...), that are not finite.

    The derivative of their results is that of another sample: zero cotangents there stay zero in what samples share.
    Others become what the rest of the model makes of nan and inf, and nan where a result is finite in spite of all.
    """
    sick = sick_samples(x)
    if not sick.any():
        return function(x)
    with np.errstate(all="ignore"):
        result = function(x)

    def restored(leaf: Array, before: Array) -> Array:
        value, found = static_value(leaf), static_value(before)
        xp, chosen = array_namespace(value), rows_like(from_host(sick, value), value)
        leaf = ops.add(leaf, xp.where(chosen & ~xp.isfinite(found), found, zeros_like(value)))
        finite = chosen & rows_like(from_host(sick & ~sick_samples(before), value), value)

        def pullback(bar: Array) -> list[Array]:
            return [xp.where(finite & (bar != 0), xp.full_like(bar, xp.nan), bar)]

        def itself(leaf: Array) -> Array:
            return ops.where(finite, found, leaf)

        return with_pullback(static_value(itself(leaf)), pullback, leaf, differential=Traced(itself))

    return tree_map(restored, function(with_others(x, sick)), result)


def with_others(x: Tree, sick: np.ndarray) -> Tree:
    """Return the arrays (batch, ...) of a tree with the samples `sick`, bool (batch,), replaced by another or by 0."""
    fit = np.flatnonzero(~sick)
    rows = np.where(sick, fit[0], np.arange(sick.size)) if fit.size else None

    def replaced(leaf: Array) -> Array:
        value = static_value(leaf)
        other = zeros_like(value) if rows is None else take_rows(value, rows)
        return ops.where(rows_like(from_host(sick, value), value), other, leaf)

    return tree_map(replaced, x)


@np.errstate(all="ignore")
def sick_samples(tree: Tree) -> np.ndarray:
    """Return which samples of the arrays of a tree, shape (batch, ...), are not finite, shape (batch,)."""
    found = np.zeros(1, dtype=bool)
    for array in map(static_value, tree_leaves(tree)):
        xp = array_namespace(array)
        if array.ndim and xp.isdtype(array.dtype, "real floating"):
            found = found | np.asarray(to_host(~xp.all(xp.isfinite(samples_as_rows(array)), axis=1)))
    return found
