"""Trees of arrays in npz files, under the names of their places, as a run's `model.npz` is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from equilib.arrays import Tree, from_host, in_dtype, is_array, is_tree, named_leaves, to_host, tree_map
from equilib.arrays.namespaces import plain_way
from equilib.errors import UserError, file_errors
from equilib.options.kinds import described
from equilib.runs.arrays_file import DamagedArraysError, read_arrays, write_arrays
from equilib.runs.files import fill_tree, whole_file


def save(path: str | Path, tree: Tree) -> None:
    """Write a tree of arrays, of any shapes, to an npz file; see `equilib.save`."""
    leaves = {}
    for name, leaf in named_leaves(tree):
        if not (is_array(leaf) or isinstance(leaf, int | float)):
            raise UserError(f"{name or 'the tree'} must be an array or a number, got {described(leaf)}")
        place = name if is_tree(tree) else "array"
        if place in leaves:
            raise UserError(f"two leaves are called {place!r}: leave '/' out of the keys of dicts")
        if place != place.replace("\0", "").encode(errors="ignore").decode():
            raise UserError(f"{place!r} cannot be a name in a file: give that leaf another key")
        leaves[place] = host = to_host(leaf) if is_array(leaf) else np.asarray(leaf)
        if host.dtype.kind not in "biuf":
            raise UserError(f"{name or 'the tree'} must hold real numbers, it is of {host.dtype}")
        if np.ma.is_masked(host):
            raise UserError(f"{name or 'the tree'} is masked here and there: save {plain_way(host)}")
    target = _checked(path)
    with file_errors(f"{target} cannot be written"), whole_file(target) as file:
        write_arrays(file, leaves)


def load(path: str | Path, like: Tree = None) -> Tree:
    """Read a tree of arrays, of any shapes, from an npz file; see `equilib.load`."""
    source = _checked(path)
    for name, leaf in named_leaves(like):
        if not (is_array(leaf) or isinstance(leaf, int | float)):
            raise UserError(f"like must be a tree of arrays or numbers, at {name!r} it has {described(leaf)}")
    try:
        with file_errors(f"{source} cannot be read"):
            found = read_arrays(source)
    except DamagedArraysError as error:
        raise UserError(f"{source} cannot be read, as it {error}") from error
    if like is not None:
        bare = not is_tree(like)
        filled = fill_tree({"array": like} if bare else like, found, source)
        return tree_map(_like, like, filled["array"] if bare else filled)
    nested: dict[str, Any] = {}
    for name, array in found.items():
        *parents, last = name.split("/")
        place = nested
        for each in parents:
            place = place.setdefault(each, {})
        place[last] = array
    return nested["array"] if nested.keys() == {"array"} else _with_lists(nested)


def _like(leaf: Any, found: Any) -> Any:
    """Return what was read for a leaf, shape (...), in its library and on its device; a number as it is."""
    if not is_array(leaf):
        return found
    array = from_host(found, leaf)
    coarse = str(leaf.dtype).endswith("bfloat16")  # which NumPy has not
    return in_dtype(array, leaf.dtype) if coarse else array


def path_of(path: str | Path) -> Path:
    """Return a path that was given as text or not; raises UserError if it is neither."""
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"a path must be a text or a Path, got {described(path)}")
    return Path(os.path.expanduser(path))  # which leaves the name of a user that there is not


def _with_lists(tree: Tree) -> Tree:
    """Return dicts whose keys are 0, 1, ... as lists."""
    if not isinstance(tree, dict):
        return tree
    children = {key: _with_lists(child) for key, child in tree.items()}
    return list(children.values()) if list(children) == [str(n) for n in range(len(children))] else children


def _checked(path: str | Path) -> Path:
    found = path_of(path)
    if found.suffix != ".npz":
        raise UserError(f"{found} must be called something.npz")
    return found
