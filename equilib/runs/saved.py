"""Trees of arrays in npz files, under the names of their places, as a run's `model.npz` is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from equilib.arrays import Tree, from_host, host_dtype, in_dtype, is_array, is_tree, named_leaves, to_host, tree_map
from equilib.arrays.namespaces import plain_way
from equilib.errors import UserError, file_errors, said
from equilib.options.kinds import described
from equilib.runs.arrays_file import DamagedArraysError, read_members, write_arrays
from equilib.runs.files import fill_tree, whole_file
from equilib.runs.keys import ALONE, distinct_leaves, tree_of


def save(path: str | Path, tree: Tree) -> None:
    """Write a tree of arrays, of any shapes, to an npz file; see `equilib.save`."""
    leaves, beside = {}, {}
    try:
        found, comment = distinct_leaves(tree)
        for name, keys, leaf in found:
            place = name if is_tree(tree) else ALONE
            leaves[place], beside[place] = _checked_host(leaf, name or "the tree"), keys
    except RecursionError:
        raise UserError("the tree is nested too deeply to be saved, or holds itself") from None
    target = _checked(path)
    with file_errors(f"{target} cannot be written"), whole_file(target) as file:
        write_arrays(file, leaves, beside, comment)


def _checked_host(leaf: Any, name: str) -> np.ndarray:
    """Return a leaf, shape (...), on the host; raises UserError if it is none that a file holds."""
    if not (is_array(leaf) or isinstance(leaf, int | float)):
        raise UserError(f"{name} must be an array or a number, got {described(leaf)}")
    try:
        host = to_host(leaf) if is_array(leaf) else np.asarray(leaf)
    except Exception as error:  # what NumPy cannot hold is told by each library in its own way
        why = said(error).partition("\n")[0]
        raise UserError(f"{name}, of {_dtype(leaf)}, cannot become an array of NumPy's: {why}") from error
    host = host.astype(np.float32) if host.dtype.name == "bfloat16" else host
    if host.dtype.kind not in "biuf":
        raise UserError(f"{name} must hold real numbers, it is of {host.dtype}")
    if np.ma.is_masked(host):
        raise UserError(f"{name} is masked here and there: save {plain_way(host)}")
    return host


def _dtype(leaf: Any) -> str:
    return str(getattr(leaf, "dtype", type(leaf).__name__))


def load(path: str | Path, like: Tree = None) -> Tree:
    """Read a tree of arrays, of any shapes, from an npz file; see `equilib.load`."""
    source = _checked(path)
    for name, leaf in named_leaves(like):
        where = f", at {name!r} it" if name else ", it"
        if not (is_array(leaf) or isinstance(leaf, int | float)):
            raise UserError(f"like must be a tree of arrays or numbers{where} has {described(leaf)}")
        if is_array(leaf) and not _has_host_dtype(leaf):
            raise UserError(f"like must hold real numbers{where} is of {leaf.dtype}")
    try:
        with file_errors(f"{source} cannot be read"):
            members, comment = read_members(source)
    except DamagedArraysError as error:
        raise UserError(f"{source} cannot be read, as it {error}") from error
    found = {name: array for name, (array, _) in members.items()}
    if like is not None:
        bare = not is_tree(like)
        filled = fill_tree({ALONE: like} if bare else like, found, source)
        return tree_map(_like, like, filled[ALONE] if bare else filled)
    try:
        return tree_of(found, {name: beside for name, (_, beside) in members.items()}, comment)
    except RecursionError:
        raise UserError(f"{source} cannot be read: it is nested too deeply") from None
    except UserError as error:
        raise UserError(f"{source} cannot be read: {error}") from None


def _has_host_dtype(leaf: Any) -> bool:
    try:
        return host_dtype(leaf).kind in "biuf"
    except TypeError:
        return False


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


def _checked(path: str | Path) -> Path:
    found = path_of(path)
    if found.suffix != ".npz":
        raise UserError(f"{found} must be called something.npz")
    return found
