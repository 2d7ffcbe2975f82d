"""Cells: the map whose fixed point a deep equilibrium model computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree, zeros_like
from equilib.autodiff import static_value
from equilib.layers.composite import Composite
from equilib.layers.epilogue import apply
from equilib.layers.protocol import Layer


class Cell(Protocol):
    """**Protocol:** f(z, x), split into what depends on x alone and what is iterated.

    1. `inject` is called once per solve, `step` at every evaluation of f.
    2. Both are pure and use operations of `equilib.ops`; sample i depends on sample i only.
    3. Axis 0 of every array in the injection is the batch: f is evaluated on some of the samples once others are done.

    A cell may have a cheaper way to f(0, x), see `FromZero`.
    """

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters."""

    def inject(self, params: Tree, x: Array) -> Tree:
        """Return the injection u for x: an array, shape (batch, ...), or a tree of such arrays."""

    def step(self, params: Tree, z: Array, u: Tree) -> Array:
        """Return f(z, x), of the shape and dtype of z."""

    def zeros(self, params: Tree, u: Tree) -> Array:
        """Return the state z = 0 that goes with u, shape (batch, ...)."""


@runtime_checkable
class FromZero(Protocol):
    """**Protocol:** a cell that evaluates f(0, x) in a cheaper way than by a step from zeros.

    1. `from_zero(params, u)` is `step(params, zeros(params, u), u)`, to rounding, and so are its derivatives.
    2. A cell that inherits it and changes `step` has to change it as well.
    3. It is not asked for where random arrays belong to the samples, as masks of dropout do.
    """

    def from_zero(self, params: Tree, u: Tree) -> Array:
        """Return f(0, x), of the shape and dtype of `zeros`."""


def step_from_zero(cell: Cell, params: Tree, u: Tree) -> Array:
    """Return f(0, x) in the cheapest way that the cell knows."""
    if isinstance(cell, FromZero):
        return cell.from_zero(params, u)
    return cell.step(params, cell.zeros(params, u), u)


@runtime_checkable
class Joins(Protocol):
    """**Protocol:** a cell whose state joins several arrays, such as those of several scales."""

    def split(self, z: Array) -> tuple[Array, ...]:
        """Take a state, shape (batch, ...), apart."""

    def join(self, parts: tuple[Array, ...]) -> Array:
        """Put a state, shape (batch, ...), together."""


@dataclass(frozen=True)
class InjectedCell(Composite):
    """f(z, x) = after(recur(z) + inject(x)), with a state of the shape of `inject`'s result.

    So the state's size is what the injection makes it, whatever the size of x.
    """

    injection: Layer
    recur: Layer
    after: Layer

    def children(self) -> dict[str, Layer]:
        """Return the three layers."""
        return {"inject": self.injection, "recur": self.recur, "after": self.after}

    def inject(self, params: Tree, x: Array) -> Array:
        """Return inject(x), shape (batch, ...)."""
        return self.injection(params["inject"], x)

    def step(self, params: Tree, z: Array, u: Array) -> Array:
        """Return after(recur(z) + u), of the shape of z."""
        try:
            mixed = apply(self.recur, params["recur"], z, after=u)
        except (ValueError, RuntimeError):
            _require_one_shape(self.recur(params["recur"], z), u)
            raise
        return self.after(params["after"], mixed)

    def from_zero(self, params: Tree, u: Array) -> Array:
        """Return after(recur(0) + u), of the shape of u; recur(0), the same in all samples, is evaluated for one."""
        mixed = self.recur(params["recur"], self.zeros(params, u)[:1, ...])
        _require_one_shape(mixed, u)
        return self.after(params["after"], ops.add(mixed, u))

    def zeros(self, params: Tree, u: Array) -> Array:
        """Return zeros of the shape of u."""
        return zeros_like(static_value(u))


def _require_one_shape(mixed: Array, u: Array) -> None:
    """Raise ValueError where recur(z), shape (batch, ...), is not of the shape of the injection u, samples aside."""
    size, wanted = (tuple(static_value(each).shape[1:]) for each in (mixed, u))
    if size != wanted:
        raise ValueError(
            f"recur(z) has the shape {size} in each sample where inject(x) has {wanted}: InjectedCell adds them, so "
            "make recur keep the shape of the state, which is that of inject(x)"
        )


@dataclass(frozen=True)
class ResidualCell(Composite):
    """f(z, x) = after(z + g(z, x)) with another cell g: a residual block.

    The block of the multiscale model of Pal et al. (2022, arXiv:2201.12240) has
    g = InjectedCell(injection, Chain(conv, group norm, gelu, conv, dropout), Chain(group norm, gelu)).
    """

    cell: Cell
    after: Layer

    def children(self) -> dict[str, Cell | Layer]:
        """Return the cell and the layer."""
        return {"cell": self.cell, "after": self.after}

    def inject(self, params: Tree, x: Array) -> Tree:
        """Return the cell's injection for x, shape (batch, ...)."""
        return self.cell.inject(params["cell"], x)

    def step(self, params: Tree, z: Array, u: Tree) -> Array:
        """Return after(z + g(z, x)), of the shape of z."""
        return self.after(params["after"], ops.add(z, self.cell.step(params["cell"], z, u)))

    def from_zero(self, params: Tree, u: Tree) -> Array:
        """Return after(g(0, x)), of the shape of z."""
        return self.after(params["after"], step_from_zero(self.cell, params["cell"], u))

    def zeros(self, params: Tree, u: Tree) -> Array:
        """Return the cell's zeros, shape (batch, ...)."""
        return self.cell.zeros(params["cell"], u)
