"""The protocol of a layer: a pure function of parameters and an array."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from equilib.arrays import Array, Tree


@runtime_checkable
class Layer(Protocol):
    """**Protocol:** a pure function of parameters and an array.

    1. Be immutable: the parameters are a tree of arrays that the caller keeps.
    2. `init` draws float32 NumPy arrays from `rng` and from nothing else; {} where there are no parameters.
    3. `__call__` uses operations of `equilib.ops` only, so that it runs, and differentiates, on every array library.
    4. Axis 0 is the batch, images are channels last; no sample influences another.

    A layer may have more methods; what is made of layers, as a cell or an initial guess is, has the first:

    - `children() -> tree`: the layers that it is made of, as `equilib.layers.Composite` has them.
    - `prepare(params) -> tree`: the parameters in another form, computed once for many evaluations; `__call__` takes
      it, and takes parameters as they are drawn.
    - `draw(x, rng) -> dict`: random arrays of shape (batch, ...) for the batch x, which stay the same during a solve;
      `__call__` finds them among its parameters.
    - `observe(params, x) -> array, params`: the layer by statistics of the batch, and the parameters with running ones
      moved towards these, see `observing`.
    - `with_epilogue(params, x, activation, after) -> array`: the layer with what follows it, see `TakesEpilogue`.
    """

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters."""

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the layer to x, shape (batch, ...), in its dtype."""


class WithoutParameters:
    """Base of what has no parameters."""

    def init(self, rng: np.random.Generator) -> Tree:
        """Return no parameters."""
        return {}
