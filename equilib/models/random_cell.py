"""The cell of one pass, with the random arrays drawn for its samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib.arrays import Array, Tree, tree_leaves
from equilib.fixed_points.boundary import read_only
from equilib.layers.pass_constants import draw, merge, prepare
from equilib.models.cell import Cell, Joins


@dataclass(frozen=True)
class RandomCell:
    """A cell with the random arrays of one pass, which belong to the samples and so are part of the injection."""

    cell: Cell
    drawn: Tree

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the cell's parameters."""
        return self.cell.init(rng)

    def draw(self, x: Array, rng: np.random.Generator) -> Tree:
        """Draw nothing more for the batch x, shape (batch, ...)."""
        return {}

    def inject(self, params: Tree, x: Array) -> Tree:
        """Return the cell's injection, and beside it what was drawn."""
        return {"drawn": self.drawn, "u": self.cell.inject(merge(params, self.drawn), x)}

    def step(self, params: Tree, z: Array, u: Tree) -> Array:
        """Return f(z, x)."""
        return self.cell.step(merge(params, u["drawn"]), z, u["u"])

    def zeros(self, params: Tree, u: Tree) -> Array:
        """Return the cell's zeros."""
        return self.cell.zeros(params, u["u"])


def for_pass(cell: Cell, params: Tree, x: Array, rng: np.random.Generator | None) -> tuple[Cell, Tree]:
    """Return the cell and the parameters of one pass over the batch x; the cell itself where nothing is drawn."""
    prepared = read_only(prepare(cell, params))
    drawn = draw(cell, prepared, x, rng)
    return (RandomCell(cell, drawn) if tree_leaves(drawn) else cell), prepared


def joins(cell: Cell) -> Joins | None:
    """Return how the cell's state joins several arrays; None where it is a single one."""
    inner = cell.cell if isinstance(cell, RandomCell) else cell
    return inner if isinstance(inner, Joins) else None
