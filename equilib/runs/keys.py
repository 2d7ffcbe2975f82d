"""Keys in files of arrays: names such as "deq/cell/weight" alone do not tell in which tree the arrays were."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from equilib.arrays import Tree
from equilib.arrays.trees import node_of
from equilib.errors import UserError, brief

Keys: TypeAlias = tuple[Any, ...]
"""The way to a leaf: a text is a key, a number a place in a list, a number in a tuple a key that is a number."""

Empty: TypeAlias = tuple[Keys, Any]
"""The way to a place without leaves, and what is there: {}, [] or None."""

ALONE = "array"
"""The name of a leaf that is the whole tree."""

_LONGEST, _PLACES = 65535 - len(".npy"), 1_000_000
"""Bytes of a name that zip holds, and how many gaps the lists of a file are believed to have."""


@dataclass
class _Way:
    """The way to a leaf, and the places without leaves before it; behind it only those that are behind the last."""

    keys: Keys | None = None
    before: list[Empty] = field(default_factory=list)
    after: list[Empty] = field(default_factory=list)


def distinct_leaves(tree: Tree) -> tuple[list[tuple[str, bytes, Any]], bytes]:
    """Return for each leaf its name, that of `named_leaves`, its keys as they stand beside it, and the leaf.

    And what stands beside all of a file that has no leaf to stand beside; nothing where the tree has leaves.

    Raises UserError if two names are one, or one cannot be a name in a file, or there are too many empty places.
    """
    ways, empty = _ways(tree)
    names, found = set[str](), []
    for way, leaf in ways:
        name, beside = _name(way.keys or ()), _encoded(way)
        if name in names:
            raise UserError(f"two leaves are called {brief(name)}: leave '/' out of the keys of dicts, and empty keys")
        if name != name.replace("\0", "").encode(errors="ignore").decode():
            raise UserError(f"{brief(name)} cannot be a name in a file: give that leaf another key")
        if max(len(name.encode()), len(_encoded(_Way(way.keys)))) > _LONGEST:
            raise UserError(
                f"{brief(name)} cannot be a name in a file, which has {_LONGEST:,} bytes at most: give that leaf a "
                "shorter key"
            )
        _check_room(beside, brief(name))
        names.add(name)
        found.append((name, beside, leaf))
    comment = b"" if ways else _encoded(_Way(before=empty))
    _check_room(comment, "the tree")
    return found, comment


def _check_room(beside: bytes, where: str) -> None:
    if len(beside) > _LONGEST:
        raise UserError(
            f"there are too many empty containers and None at {where}: their places have {_LONGEST:,} bytes in a file "
            "at most; leave some out"
        )


def _ways(tree: Tree) -> tuple[list[tuple[_Way, Any]], list[Empty]]:
    """Return the ways to all leaves, in the order of `named_leaves`, with these, and places without if there are none.

    A None in a list is not among these places if a leaf or another place follows there: it is a gap.
    """
    ways, empty = list[tuple[_Way, Any]](), list[Empty]()
    for keys, value, is_leaf in _places_in(tree):
        if is_leaf:
            ways.append((_Way(keys, empty), value))
            empty = []
        else:
            empty.append((keys, value))
    if ways:
        ways[-1][0].after, empty = empty, []
    return ways, empty


def _places_in(tree: Tree, before: Keys = ()) -> Iterator[tuple[Keys, Any, bool]]:
    """Yield the keys of each leaf and of each place without, what is there, and whether it is a leaf."""
    children: Any
    if tree is None:
        yield before, None, False
        return
    if isinstance(tree, dict):
        children = ((_kept(key), child) for key, child in tree.items())
    elif isinstance(tree, list | tuple):
        last = len(tree) - 1
        children = ((place, child) for place, child in enumerate(tree) if child is not None or place == last)
    elif (node := node_of(tree)) is not None:
        children = zip(node.keys, node.children, strict=True)
    else:
        yield before, tree, True
        return
    children = list(children)
    if not children:
        yield before, [] if isinstance(tree, list | tuple) else {}, False
    for key, child in children:
        yield from _places_in(child, (*before, key))


def _kept(key: object) -> Any:
    number = isinstance(key, int | np.integer) and not isinstance(key, bool)
    return (int(key),) if number else str(key)  # type: ignore[call-overload]


def _encoded(way: _Way) -> bytes:
    """Return a way as JSON: its keys, or where there are empty places an object of those, too."""
    content = {name: value for name, value in vars(way).items() if value not in (None, [])}
    found = way.keys if content.keys() == {"keys"} else content
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode(errors="ignore")


def tree_of(arrays: Mapping[str, Any], beside: Mapping[str, bytes], comment: bytes = b"") -> Tree:
    """Return the tree that arrays, of any shapes, were: by what stands beside their names, else by the names alone.

    Of no arrays it is what the comment on all of the file tells.

    Raises UserError if the names leave it open, as "a" and "a/b" do.
    """
    found = {name: _decoded(beside.get(name, b""), name) for name in arrays} if arrays else {"": _decoded(comment)}
    ways = {name: way for name, way in found.items() if way is not None}
    if len(ways) == len(found):
        try:
            return _tree(_places(arrays, ways))
        except ValueError:  # written by somebody else
            pass
    if arrays.keys() == {ALONE}:
        return arrays[ALONE]
    try:
        return _with_lists(_tree((name, tuple(name.split("/")), array) for name, array in arrays.items()))
    except ValueError as error:
        raise UserError(f"{error}: say by like=... which tree it is") from None


def _places(arrays: Mapping[str, Any], ways: Mapping[str, _Way]) -> Iterator[tuple[str, Keys, Any]]:
    for name, way in ways.items():
        yield from ((name, *each) for each in way.before)
        if way.keys is not None:
            yield name, way.keys, arrays[name]
        yield from ((name, *each) for each in way.after)


def _decoded(beside: bytes, name: str | None = None) -> _Way | None:
    """Return the way that was written beside a name, or beside all; None if there is none, or another's."""
    try:
        found = json.loads(beside)
        content = {"keys": found} if isinstance(found, list) else dict(found)
        keys = None if name is None else _keys(content.pop("keys"))
        way = _Way(keys, *([_empty(each) for each in content.pop(part, ())] for part in ("before", "after")))
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    named = keys is None or name in (_name(keys), _name(keys) if keys else ALONE)
    return way if named and not content else None


def _keys(found: Any) -> Keys:
    """Return keys of JSON; raises ValueError if they are none."""
    keys = tuple(tuple(each) if isinstance(each, list) else each for each in found)
    if not isinstance(found, list) or not all(map(_is_key, keys)):
        raise ValueError("no keys")
    return keys


def _empty(found: Any) -> Empty:
    """Return a place without leaves of JSON; raises ValueError if it is none."""
    keys, value = found
    if value not in ({}, [], None):
        raise ValueError("no empty place")
    return _keys(keys), value


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


def _tree(places: Iterable[tuple[str, Keys, Any]]) -> Tree:
    """Return values in a tree; raises ValueError if one is where others are, or a list has keys or is too long."""
    root: dict[Any, Any] = {}
    for name, keys, value in places:
        place = root
        *parents, last = ((), *keys)
        for key in parents:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise ValueError(f"{brief(name)} is within another array")
        if last in place:
            raise ValueError(f"another array is within {brief(name)}")
        place[last] = value
    return _made(root.get((), {}), [_PLACES])


def _made(tree: Any, room: list[int]) -> Tree:
    """Return dicts whose keys are places as lists, None where one is missing, which takes of the room for gaps."""
    if not isinstance(tree, dict):
        return tree
    places = [key for key in tree if isinstance(key, int)]
    if not places:
        return {key[0] if isinstance(key, tuple) else key: _made(child, room) for key, child in tree.items()}
    if len(places) < len(tree):
        raise ValueError("a list has keys")
    length = max(places) + 1
    room[0] -= length - len(places)
    if room[0] < 0:
        raise ValueError("the lists have too many gaps")
    return [_made(tree.get(place), room) for place in range(length)]


def _with_lists(tree: Tree) -> Tree:
    """Return dicts whose keys are "0", "1", ... as lists."""
    if not isinstance(tree, dict):
        return tree
    children = {key: _with_lists(child) for key, child in tree.items()}
    named = children and list(children) == [str(n) for n in range(len(children))]
    return list(children.values()) if named else children
