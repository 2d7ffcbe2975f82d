"""Layer normalization."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.initializers import ones, zeros
from equilib.layers.sizes import check_sizes
from equilib.options.kinds import check_interval


@dataclass(frozen=True)
class LayerNorm:
    """Normalize the last axes of each sample to mean 0 and variance 1, then scale and shift (Ba, Kiros & Hinton 2016).

    `shape` is that of these axes, or the length of the last one: each position of a sequence (batch, length, features)
    is normalized by itself. One mean for all positions of a sample is `GroupNorm(channels, 1)`.

    Raises TypeError or ValueError if a size is no positive whole number, or ε negative.
    """

    shape: int | tuple[int, ...]
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        check_sizes(self, "shape")
        check_interval(self, "epsilon", "[0, inf)")

    def init(self, rng: np.random.Generator) -> Tree:
        """Return a scale of ones and a shift of zeros."""
        return {"scale": ones(rng, self._axes()), "shift": zeros(rng, self._axes())}

    def __call__(self, params: Tree, x: Array) -> Array:
        """Normalize x, shape (batch, ..., *shape)."""
        return ops.layer_norm(x, params["scale"], params["shift"], self.epsilon, len(self._axes()))

    def _axes(self) -> tuple[int, ...]:
        return (self.shape,) if isinstance(self.shape, int) else self.shape
