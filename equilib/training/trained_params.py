"""Arrays from a file, put into the structure that a model has here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from equilib.errors import UserError
from equilib.trees import Tree, named_leaves, tree_unflatten


def fill_tree(like: Tree, found: Mapping[str, np.ndarray], path: Path, *, error: type[UserError] = UserError) -> Tree:
    """Return the arrays of the file `path`, named by their place, in the structure of `like`; its numbers as numbers.

    Raises
    ------
    UserError
        Or `error`: if a name or a shape differs.
    """
    wanted = dict(named_leaves(like))
    for name, leaf in wanted.items():
        shape = np.shape(leaf) if isinstance(leaf, int | float) else leaf.shape
        if name not in found or found[name].shape != shape:
            there = f"of shape {found[name].shape}" if name in found else "missing"
            raise error(f"{path} holds another model: {name!r}, of shape {shape} here, is {there}")
    unknown = sorted(set(found) - set(wanted))
    if unknown:
        raise error(f"{path} holds another model: there is no {unknown[0]!r} here")
    return tree_unflatten(
        like, [found[name].item() if isinstance(leaf, int | float) else found[name] for name, leaf in wanted.items()]
    )
