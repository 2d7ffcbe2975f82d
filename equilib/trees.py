"""Parameter trees: nested dicts, lists and tuples whose leaves are arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

Tree: TypeAlias = Any
"""A leaf, or a dict, list or tuple of trees. Empty containers and None hold no leaves."""


def tree_leaves(tree: Tree) -> list[Any]:
    """Return the leaves of `tree` in a fixed order: dicts by their insertion order, sequences by position."""
    return [leaf for _, leaf in named_leaves(tree)]


def named_leaves(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, leaf) pairs; a path joins keys and positions by '/', as in 'deq/cell/weight'."""
    if tree is None:
        return
    if isinstance(tree, dict):
        children: Any = tree.items()
    elif isinstance(tree, list | tuple):
        children = enumerate(tree)
    else:
        yield prefix, tree
        return
    for key, child in children:
        yield from named_leaves(child, f"{prefix}/{key}" if prefix else str(key))


def leaves_like(like: Tree, tree: Tree, path: str = "") -> list[Any]:
    """Return the leaves of `tree` in the order of `tree_leaves(like)`: entries of dicts are matched by key.

    Raises
    ------
    ValueError
        If the two structures differ.
    """
    if isinstance(like, dict):
        matches = isinstance(tree, dict) and like.keys() == tree.keys()
        keys: Any = like
    elif isinstance(like, list | tuple):
        matches = isinstance(tree, list | tuple) and len(like) == len(tree)
        keys = range(len(like))
    else:
        matches = (like is None) == (tree is None) and not isinstance(tree, dict | list | tuple)
        keys = None
    if not matches:
        where = f" at '{path}'" if path else ""
        raise ValueError(f"the trees differ{where}: {_describe(like)} against {_describe(tree)}")
    if keys is None:
        return [] if tree is None else [tree]
    return [leaf for key in keys for leaf in leaves_like(like[key], tree[key], f"{path}/{key}" if path else str(key))]


def _describe(tree: Tree) -> str:
    if isinstance(tree, dict):
        return f"a dict with the keys {sorted(map(str, tree))}"
    if isinstance(tree, list | tuple):
        return f"a {type(tree).__name__} of {len(tree)}"
    return "nothing" if tree is None else f"a leaf ({type(tree).__name__})"


def tree_unflatten(like: Tree, leaves: list[Any]) -> Tree:
    """Put `leaves`, in the order of `tree_leaves(like)`, into the structure of `like`.

    Raises
    ------
    ValueError
        If there are more or fewer leaves than `like` has.
    """
    expected = len(tree_leaves(like))
    if len(leaves) != expected:
        raise ValueError(f"the tree has {expected} leaves, {len(leaves)} were given")
    return _fill(like, iter(leaves))


def _fill(like: Tree, leaves: Iterator[Any]) -> Tree:
    if like is None:
        return None
    if isinstance(like, dict):
        return {key: _fill(child, leaves) for key, child in like.items()}
    if isinstance(like, list):
        return [_fill(child, leaves) for child in like]
    if isinstance(like, tuple):
        children = [_fill(child, leaves) for child in like]
        return type(like)(*children) if hasattr(like, "_fields") else tuple(children)
    return next(leaves)


def tree_map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply `function` to each leaf of `tree`, and to the leaves at the same place in `others`.

    Raises
    ------
    ValueError
        If the structures of the trees differ.
    """
    columns = [leaves_like(tree, each) for each in (tree, *others)]
    return tree_unflatten(tree, [function(*leaves) for leaves in zip(*columns, strict=True)])
