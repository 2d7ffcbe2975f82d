"""Keys of leaves in files of arrays: a name such as "deq/cell/weight" alone does not tell in which tree it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from equilib.arrays import Tree, named_leaves
from equilib.arrays.trees import node_of
from equilib.errors import UserError, brief

Keys: TypeAlias = tuple[Any, ...]
"""The way to a leaf: a text is a key, a number a place in a list, a number in a tuple a key that is a number."""

ALONE = "array"
"""The name of a leaf that is the whole tree."""

_LONGEST, _PLACES = 65535 - len(".npy"), 1_000_000
"""Bytes of a name that zip holds, and the longest list that is believed to have gaps."""


def distinct_leaves(tree: Tree) -> Iterator[tuple[str, bytes, Any]]:
    """Yield for each leaf its name, as `named_leaves` does, its keys as they stand beside it, and the leaf.

    Raises UserError if two names are one, or one cannot be a name in a file.
    """
    names = set[str]()
    for (name, leaf), keys in zip(named_leaves(tree), _keys_of(tree), strict=True):
        beside = _encoded(keys)
        if name in names:
            raise UserError(f"two leaves are called {brief(name)}: leave '/' out of the keys of dicts, and empty keys")
        if name != name.replace("\0", "").encode(errors="ignore").decode():
            raise UserError(f"{brief(name)} cannot be a name in a file: give that leaf another key")
        if max(len(name.encode()), len(beside)) > _LONGEST:
            raise UserError(
                f"{brief(name)} cannot be a name in a file, which has {_LONGEST:,} bytes at most: give that leaf a "
                "shorter key"
            )
        names.add(name)
        yield name, beside, leaf


def _keys_of(tree: Tree, before: Keys = ()) -> Iterator[Keys]:
    """Yield the keys of each leaf, in the order of `named_leaves`."""
    children: Any
    if tree is None:
        return
    if isinstance(tree, dict):
        children = ((_kept(key), child) for key, child in tree.items())
    elif isinstance(tree, list | tuple):
        children = enumerate(tree)
    elif (node := node_of(tree)) is not None:
        children = zip(node.keys, node.children, strict=True)
    else:
        yield before
        return
    for key, child in children:
        yield from _keys_of(child, (*before, key))


def _kept(key: object) -> Any:
    number = isinstance(key, int | np.integer) and not isinstance(key, bool)
    return (int(key),) if number else str(key)  # type: ignore[call-overload]


def _encoded(keys: Keys) -> bytes:
    return json.dumps(keys, ensure_ascii=False, separators=(",", ":")).encode(errors="ignore")


def tree_of(arrays: Mapping[str, Any], beside: Mapping[str, bytes]) -> Tree:
    """Return the tree that arrays, of any shapes, were: by what stands beside their names, else by the names alone.

    Raises UserError if the names leave it open, as "a" and "a/b" do.
    """
    keys = {name: _decoded(beside.get(name, b""), name) for name in arrays}
    ways = {name: way for name, way in keys.items() if way is not None}
    if len(ways) == len(arrays):
        try:
            return _tree(arrays, ways)
        except ValueError:  # written by somebody else
            pass
    if arrays.keys() == {ALONE}:
        return arrays[ALONE]
    try:
        return _with_lists(_tree(arrays, {name: tuple(name.split("/")) for name in arrays}))
    except ValueError as error:
        raise UserError(f"{error}: say by like=... which tree it is") from None


def _decoded(beside: bytes, name: str) -> Keys | None:
    """Return the keys that were written beside a name; None if there are none, or those of something else."""
    try:
        found = json.loads(beside)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list):
        return None
    keys = tuple(tuple(each) if isinstance(each, list) else each for each in found)
    return keys if all(map(_is_key, keys)) and name in (_name(keys), _name(keys) if keys else ALONE) else None


def _is_key(key: object) -> bool:
    if isinstance(key, tuple):
        return len(key) == 1 and type(key[0]) is int
    return isinstance(key, str) or (type(key) is int and 0 <= key < _PLACES)


def _name(keys: Keys) -> str:
    """Return the name that `named_leaves` gives a leaf."""
    name = ""
    for key in keys:
        own = str(key[0] if isinstance(key, tuple) else key)
        name = f"{name}/{own}" if name else own
    return name


def _tree(arrays: Mapping[str, Any], keys: Mapping[str, Keys]) -> Tree:
    """Return arrays in a tree; raises ValueError if one is where others are, or a list has keys."""
    root: dict[Any, Any] = {}
    for name, array in arrays.items():
        place = root
        *parents, last = ((), *keys[name])
        for key in parents:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise ValueError(f"{brief(name)} is within another array")
        if last in place:
            raise ValueError(f"another array is within {brief(name)}")
        place[last] = array
    return _made(root.get((), {}))


def _made(tree: Any) -> Tree:
    """Return dicts whose keys are places as lists, None where a place has no leaf."""
    if not isinstance(tree, dict):
        return tree
    places = [key for key in tree if isinstance(key, int)]
    if not places:
        return {key[0] if isinstance(key, tuple) else key: _made(child) for key, child in tree.items()}
    if len(places) < len(tree):
        raise ValueError("a list has keys")
    return [_made(tree.get(place)) for place in range(max(places) + 1)]


def _with_lists(tree: Tree) -> Tree:
    """Return dicts whose keys are "0", "1", ... as lists."""
    if not isinstance(tree, dict):
        return tree
    children = {key: _with_lists(child) for key, child in tree.items()}
    named = children and list(children) == [str(n) for n in range(len(children))]
    return list(children.values()) if named else children
