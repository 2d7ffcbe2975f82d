"""The check that a model's state fits its input and its parameters."""

from __future__ import annotations

from typing import Any

from equilib.arrays import Tree, array_namespace, is_array, tree_leaves
from equilib.autodiff import static_value
from equilib.fixed_points.arguments import check_one_batch


def check_fitting(params: Tree, x: Tree, state: Tree) -> None:
    """Require that a state, arrays (batch, ...), has as many samples as x, and is not wider than the parameters.

    Raises ValueError.
    """
    check_one_batch(x, state)
    check_width(params, x, state)


def check_width(params: Tree, x: Tree, found: Tree) -> None:
    """Require that what was computed of x, arrays (batch, ...), is not wider than the parameters.

    Raises
    ------
    ValueError
        If it is: the whole model would become slower and larger without a word.
    """
    leaves = tree_leaves(params)
    for dtype in _dtypes(found):
        if not any(getattr(leaf, "dtype", None) == dtype for leaf in leaves):  # at once: the first one is
            _compare(_dtypes(params), dtype, x)


def _compare(own: list[Any], dtype: Any, x: Tree) -> None:
    if not own:
        return
    leaf = static_value(tree_leaves(x)[0])
    xp = array_namespace(leaf)
    widest = xp.result_type(*own)
    if xp.result_type(widest, dtype) == widest:
        return
    other = leaf.dtype != widest
    cause = f"x of {leaf.dtype}" if other else f"a constant of {dtype}"
    remedy = f"give {'x' if other else 'it'} as {widest}, or make the parameters {dtype}"
    raise ValueError(f"{cause} would turn a model of {widest} into one of {dtype}: {remedy}")


def _dtypes(tree: Tree) -> list[Any]:
    """Return the dtypes of floating-point arrays of a tree, each once."""
    found: list[Any] = []
    for each in map(static_value, tree_leaves(tree)):
        if is_array(each) and each.dtype not in found and array_namespace(each).isdtype(each.dtype, "real floating"):
            found.append(each.dtype)
    return found
