"""A cell whose state is a tree, as one whose state is an array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib.arrays import Array, Tree
from equilib.fixed_points.packing import Packing
from equilib.models.cell import Cell


@dataclass(frozen=True)
class PackedCell:
    """A cell in the coordinates of a packing, in which it is iterated."""

    cell: Cell
    packing: Packing

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the cell's parameters."""
        return self.cell.init(rng)

    def inject(self, params: Tree, x: Array) -> Tree:
        """Return the cell's injection for x, shape (batch, ...)."""
        return self.cell.inject(params, x)

    def step(self, params: Tree, z: Array, u: Tree) -> Array:
        """Return f(z, x), shape (batch, size); raises ValueError if the cell's step does not return a tree like z."""
        return self.packing.map_of(lambda z: self.cell.step(params, z, u))(z)

    def zeros(self, params: Tree, u: Tree) -> Array:
        """Return the cell's zeros, shape (batch, size)."""
        return self.packing.pack(self.cell.zeros(params, u))
