"""Layers made of layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from equilib import ops
from equilib.arrays import Array
from equilib.protocols import Layer
from equilib.trees import Tree


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

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the layers in turn."""
        for layer, own in zip(self.layers, params, strict=True):
            x = layer(own, x)
        return x


class Parallel:
    """The same input through several branches, whose results `combine` joins; by default they are added.

    The parameters are a list, one entry for each branch.
    """

    def __init__(self, *branches: Layer, combine: Callable[[Array, Array], Array] = ops.add) -> None:
        self.branches = branches
        self.combine = combine

    def __repr__(self) -> str:
        return f"Parallel({', '.join(map(repr, self.branches))})"

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of each branch in turn."""
        return [branch.init(rng) for branch in self.branches]

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the branches and combine their results from left to right."""
        results = [branch(own, x) for branch, own in zip(self.branches, params, strict=True)]
        return reduce(self.combine, results)
