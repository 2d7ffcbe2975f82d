"""Composites: what is made of layers, and has their parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from equilib.arrays import Tree


class Composite(ABC):
    """Base of what is made of layers: a layer, a cell, an initial guess. Its parameters are a tree of theirs."""

    @abstractmethod
    def children(self) -> Tree:
        """Return a tree of the layers: dicts and lists of them, or one alone."""

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of each layer in turn."""
        return map_children(lambda child: child.init(rng), self.children())


def map_children(function: Callable[..., Tree], children: Tree, *params: Tree) -> Tree:
    """Return the tree of children with `function(child, its parameters)` in place of each."""
    if isinstance(children, dict):
        return {name: map_children(function, child, *(own[name] for own in params)) for name, child in children.items()}
    if isinstance(children, list):
        return [map_children(function, child, *own) for child, *own in zip(children, *params, strict=True)]
    return function(children, *params)
