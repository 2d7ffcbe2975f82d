"""Layers made of layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from equilib import ops
from equilib.arrays import Array
from equilib.arrays.trees import Tree
from equilib.layers.prepare import OfChild
from equilib.layers.protocol import Layer


@dataclass(frozen=True)
class Activation:
    """A function as a layer without parameters, such as `Activation(ops.tanh)`."""

    function: Callable[[Array], Array]

    def init(self, rng: np.random.Generator) -> Tree:
        """Return no parameters."""
        return {}

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the function."""
        return self.function(x)


@dataclass(frozen=True)
class Flatten:
    """Make each sample a vector: (batch, ...) to (batch, size of one sample)."""

    def init(self, rng: np.random.Generator) -> Tree:
        """Return no parameters."""
        return {}

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the layer."""
        return ops.reshape(x, (x.shape[0], -1))


class Chain:
    """Layers one after the other; a plain function counts as a layer without parameters.

    The parameters are a list, one entry for each layer.
    """

    def __init__(self, *layers: Layer | Callable[[Array], Array]) -> None:
        self.layers = tuple(each if isinstance(each, Layer) else Activation(each) for each in layers)

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, self.layers))})"

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of each layer in turn."""
        return [layer.init(rng) for layer in self.layers]

    def map_children(self, function: OfChild, params: Tree) -> Tree:
        """Return `function` of each layer and its parameters."""
        return [function(layer, own) for layer, own in zip(self.layers, params, strict=True)]

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the layers in turn."""
        for layer, own in zip(self.layers, params, strict=True):
            x = layer(own, x)
        return x


class _Branches:
    """Layers side by side; the parameters are a list, one entry for each."""

    def __init__(self, *branches: Layer) -> None:
        self.branches = branches

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.branches))})"

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of each branch in turn."""
        return [branch.init(rng) for branch in self.branches]

    def map_children(self, function: OfChild, params: Tree) -> Tree:
        """Return `function` of each branch and its parameters."""
        return [function(branch, own) for branch, own in zip(self.branches, params, strict=True)]


class Fork(_Branches):
    """The same input through several branches: the tuple of their results."""

    def __call__(self, params: Tree, x: Array) -> Any:
        """Apply the branches."""
        return tuple(branch(own, x) for branch, own in zip(self.branches, params, strict=True))


class Parallel(_Branches):
    """The same input through several branches, whose results `combine` joins; by default they are added."""

    def __init__(self, *branches: Layer, combine: Callable[[Array, Array], Array] = ops.add) -> None:
        super().__init__(*branches)
        self.combine = combine

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the branches and combine their results from left to right."""
        return reduce(self.combine, [branch(own, x) for branch, own in zip(self.branches, params, strict=True)])


class Merge(_Branches):
    """A tuple, each of its arrays through a branch of its own; `combine` joins the results, by default it adds them.

    It is the head of a model with several scales.
    """

    def __init__(self, *branches: Layer, combine: Callable[[Array, Array], Array] = ops.add) -> None:
        super().__init__(*branches)
        self.combine = combine

    def __call__(self, params: Tree, x: Any) -> Array:
        """Apply the branches and combine their results from left to right.

        Raises
        ------
        ValueError
            If there are not as many arrays as branches.
        """
        if not isinstance(x, tuple) or len(x) != len(self.branches):
            found = f"a tuple of {len(x)}" if isinstance(x, tuple) else "one array"
            raise ValueError(f"{len(self.branches)} branches take a tuple of as many arrays, they were given {found}")
        return reduce(self.combine, [branch(own, y) for branch, own, y in zip(self.branches, params, x, strict=True)])
