"""Composites: what is made of layers, and has their parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from equilib.arrays import Tree
from equilib.options.kinds import check_kind


class Composite(ABC):
    """Base of what is made of layers: a layer, a cell, an initial guess. Its parameters are a tree of theirs."""

    @abstractmethod
    def children(self) -> Tree:
        """Return a tree of the layers: dicts and lists of them, or one alone."""

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of each layer in turn."""

        def drawn(child: Any) -> Tree:
            check_kind(child, f"a part of {type(self).__name__}", "layer or cell")
            return child.init(rng)

        return map_children(drawn, self.children())


def map_children(function: Callable[..., Tree], children: Tree, *params: Tree) -> Tree:
    """Return the tree of children with `function(child, its parameters)` in place of each."""
    for own in params:
        if isinstance(children, dict) and not (isinstance(own, dict) and children.keys() <= own.keys()):
            raise TypeError(f"parameters must be what init returns, a dict of {', '.join(map(repr, children))}")
        if isinstance(children, list) and not (isinstance(own, list | tuple) and len(own) == len(children)):
            raise TypeError(f"parameters must be what init returns, a list of {len(children)}")
    if isinstance(children, dict):
        return {name: map_children(function, child, *(own[name] for own in params)) for name, child in children.items()}
    if isinstance(children, list):
        return [map_children(function, child, *own) for child, *own in zip(children, *params, strict=True)]
    return function(children, *params)
