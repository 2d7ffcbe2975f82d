"""Trees of arrays: nested dicts, lists and tuples, and containers that other libraries know."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Tree: TypeAlias = Any
"""A leaf, or a dict, list, tuple or other container of trees. Empty containers and None hold no leaves."""

_SEQUENCES = (list, tuple)
_CONTAINERS = (dict, *_SEQUENCES)
_END = object()


@dataclass(frozen=True)
class Node:
    """A container that is no dict, list or tuple: its children, their keys in paths, and what makes it of others."""

    keys: tuple[str, ...]
    children: tuple[Tree, ...]
    rebuild: Callable[[Sequence[Tree]], Tree]


Look: TypeAlias = Callable[[Any], Node | None]

_looks: list[Look] = []
_look_of: dict[type, Look | None] = {}  # by the type of a value; None where it is a leaf


def register_nodes(look: Look) -> None:
    """Make containers of another library nodes of trees: `look` returns the node that a value is, None for a leaf.

    Of one type all values are nodes, or all are leaves. Dicts, lists, tuples and None are not asked for.
    """
    _looks.append(look)
    _look_of.clear()


def node_of(value: Any) -> Node | None:
    """Return the node that a value is; None where it is a leaf, or a dict, list or tuple."""
    if not _looks:
        return None
    kind = type(value)
    if kind not in _look_of:
        _look_of[kind] = next((look for look in reversed(_looks) if look(value) is not None), None)
    look = _look_of[kind]
    return None if look is None else look(value)


def is_tree(value: object) -> bool:
    """Tell whether a value is a container, not a leaf nor None."""
    return isinstance(value, _CONTAINERS) or (value is not None and node_of(value) is not None)


def tree_leaves(tree: Tree) -> list[Any]:
    """Return the leaves of `tree` in a fixed order: dicts by their insertion order, sequences by position."""
    leaves: list[Any] = []
    _gather(tree, leaves)
    return leaves


def _gather(tree: Tree, leaves: list[Any]) -> None:
    if isinstance(tree, dict):
        for child in tree.values():
            _gather(child, leaves)
    elif isinstance(tree, _SEQUENCES):
        for child in tree:
            _gather(child, leaves)
    elif tree is not None:
        node = node_of(tree) if _looks else None
        if node is None:
            leaves.append(tree)
        else:
            _gather(node.children, leaves)


def named_leaves(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, leaf) pairs; a path joins keys and positions by '/', as in 'deq/cell/weight'."""
    if tree is None:
        return
    if isinstance(tree, dict):
        children: Any = tree.items()
    elif isinstance(tree, _SEQUENCES):
        children = enumerate(tree)
    elif (node := node_of(tree)) is not None:
        children = zip(node.keys, node.children, strict=True)
    else:
        yield prefix, tree
        return
    for key, child in children:
        yield from named_leaves(child, f"{prefix}/{key}" if prefix else str(key))


def leaves_like(like: Tree, tree: Tree) -> list[Any]:
    """Return the leaves of `tree` in the order of `tree_leaves(like)`: entries of dicts are matched by key.

    Raises ValueError if the two structures differ.
    """
    leaves: list[Any] = []
    _gather_like(like, tree, leaves, ())
    return leaves


def _gather_like(like: Tree, tree: Tree, leaves: list[Any], path: tuple[Any, ...]) -> None:
    keys: Any = ()
    if isinstance(like, dict):
        matches, keys = isinstance(tree, dict) and like.keys() == tree.keys(), like
    elif isinstance(like, _SEQUENCES):
        matches, keys = isinstance(tree, _SEQUENCES) and len(like) == len(tree), range(len(like))
    elif like is not None and (node := node_of(like)) is not None:
        other = None if type(tree) is not type(like) else node_of(tree)
        matches = other is not None and other.keys == node.keys
        if other is not None and matches:
            like, tree = (dict(zip(each.keys, each.children, strict=True)) for each in (node, other))
            keys = node.keys
    else:
        matches = (like is None) == (tree is None) and not isinstance(tree, _CONTAINERS)
        if matches and tree is not None:
            leaves.append(tree)
    if not matches:
        where = f" at '{'/'.join(map(str, path))}'" if path else ""
        raise ValueError(f"the trees differ{where}: {_describe(like)} against {_describe(tree)}")
    for key in keys:
        _gather_like(like[key], tree[key], leaves, (*path, key))


def _describe(tree: Tree) -> str:
    if isinstance(tree, dict):
        return f"a dict with the keys {sorted(map(str, tree))}"
    if isinstance(tree, _SEQUENCES):
        return f"a {type(tree).__name__} of {len(tree)}"
    if tree is None:
        return "nothing"
    return f"{'a leaf' if node_of(tree) is None else 'a container'} ({type(tree).__name__})"


def tree_unflatten(like: Tree, leaves: list[Any]) -> Tree:
    """Put `leaves`, in the order of `tree_leaves(like)`, into the structure of `like`.

    Raises ValueError if there are more or fewer leaves than `like` has.
    """
    remaining = iter(leaves)
    try:
        tree = _fill(like, remaining)
        complete = next(remaining, _END) is _END
    except StopIteration:
        complete = False
    if not complete:
        raise ValueError(f"the tree has {len(tree_leaves(like))} leaves, {len(leaves)} were given")
    return tree


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
    node = node_of(like) if _looks else None
    return next(leaves) if node is None else node.rebuild([_fill(child, leaves) for child in node.children])


def tree_map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply `function` to each leaf of `tree`, and to the leaves at the same place in `others`.

    Raises ValueError if the structures of the trees differ.
    """
    columns = [tree_leaves(tree), *(leaves_like(tree, each) for each in others)]
    return tree_unflatten(tree, [function(*leaves) for leaves in zip(*columns, strict=True)])
