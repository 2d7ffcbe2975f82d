"""Initial guesses of an equilibrium solve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from equilib.arrays import Array, Tree
from equilib.layers.composite import Composite
from equilib.layers.protocol import Layer, WithoutParameters
from equilib.models.cell import Cell, step_from_zero
from equilib.models.random_cell import joins


class InitialGuess(Protocol):
    """**Protocol:** the first iterate; it is differentiable, so that a loss may pull it towards the fixed point."""

    @property
    def nfe(self) -> int:
        """Evaluations of f that it costs."""

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters."""

    def __call__(self, params: Tree, cell: Cell, cell_params: Tree, x: Array, u: Tree) -> Array:
        """Return z0, shape (batch, ...), from its parameters, the cell and its own, x, and the injection u."""


@dataclass(frozen=True)
class ZeroGuess(WithoutParameters):
    """z0 = 0: the plain deep equilibrium model (`deq`)."""

    nfe: int = 0

    def __call__(self, params: Tree, cell: Cell, cell_params: Tree, x: Array, u: Tree) -> Array:
        """Return zeros of the shape of z."""
        return cell.zeros(cell_params, u)


@dataclass(frozen=True)
class OneStepGuess(WithoutParameters):
    """z0 = f(0, x), with the cell's own parameters (`regdeq`; Pal et al. 2022, arXiv:2201.12240, §3).

    It counts as one evaluation, though a cell may know a cheaper way to it (`FromZero`).
    """

    nfe: int = 1

    def __call__(self, params: Tree, cell: Cell, cell_params: Tree, x: Array, u: Tree) -> Array:
        """Return f(0, x), of the shape of z."""
        return step_from_zero(cell, cell_params, u)


@dataclass(frozen=True)
class LayerGuess(Composite):
    """z0 = layer(x), with parameters of its own (`skipdeq`; Pal et al. 2022, arXiv:2201.12240, §3).

    For a cell of several scales the layer returns a tuple with one array for each, as `Fork` does.
    """

    layer: Layer
    nfe: int = 0

    def children(self) -> Layer:
        """Return the layer."""
        return self.layer

    def __call__(self, params: Tree, cell: Cell, cell_params: Tree, x: Array, u: Tree) -> Array:
        """Return layer(x), of the shape of z.

        Raises ValueError if the cell has several scales and the layer does not return one array for each.
        """
        guess, several = self.layer(params, x), joins(cell)
        if several is None:
            return guess
        if not isinstance(guess, tuple):
            raise ValueError("the guess of a cell with several scales is a tuple of arrays: use LayerGuess(Fork(...))")
        return several.join(guess)
