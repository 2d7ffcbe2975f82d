"""Cells: the map whose fixed point a deep equilibrium model computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from equilib import ops
from equilib.arrays import Array, array_namespace
from equilib.autodiff import static_value
from equilib.protocols import Layer
from equilib.trees import Tree


class Cell(Protocol):
    """**Protocol:** f(z, x), split into what depends on x alone and what is iterated.

    1. `inject` is called once per solve, `step` at every evaluation of f.
    2. Both are pure and use operations of `equilib.ops`; sample i depends on sample i only.
    """

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters."""

    def inject(self, params: Tree, x: Array) -> Tree:
        """Return the injection u: an array, or a tree of arrays."""

    def step(self, params: Tree, z: Array, u: Tree) -> Array:
        """Return f(z, x), of the shape and dtype of z."""

    def zeros(self, params: Tree, u: Tree) -> Array:
        """Return the state z = 0 that goes with u."""


@dataclass(frozen=True)
class InjectedCell:
    """f(z, x) = after(recur(z) + inject(x)), with a state of the shape of `inject`'s result."""

    injection: Layer
    recur: Layer
    after: Layer

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of the three layers."""
        return {
            "inject": self.injection.init(rng),
            "recur": self.recur.init(rng),
            "after": self.after.init(rng),
        }

    def inject(self, params: Tree, x: Array) -> Array:
        """Return inject(x)."""
        return self.injection(params["inject"], x)

    def step(self, params: Tree, z: Array, u: Array) -> Array:
        """Return after(recur(z) + u)."""
        return self.after(params["after"], ops.add(self.recur(params["recur"], z), u))

    def zeros(self, params: Tree, u: Array) -> Array:
        """Return zeros of the shape of u."""
        value = static_value(u)
        return array_namespace(value).zeros_like(value)
