"""Pooling layers. Images are channels last: (batch, height, width, channels)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.arrays import Array
from equilib.arrays.trees import Tree


@dataclass(frozen=True)
class AveragePool:
    """The mean of each window; `stride` is the window unless given. Pixels that fill no window are left out."""

    window: int
    stride: int | None = None

    def init(self, rng: np.random.Generator) -> Tree:
        """Return no parameters."""
        return {}

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the layer."""
        stride = self.stride or self.window
        return ops.average_pool(x, (self.window, self.window), (stride, stride))


@dataclass(frozen=True)
class MaxPool:
    """The largest value of each window; `stride` is the window unless given."""

    window: int
    stride: int | None = None

    def init(self, rng: np.random.Generator) -> Tree:
        """Return no parameters."""
        return {}

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the layer."""
        stride = self.stride or self.window
        return ops.max_pool(x, (self.window, self.window), (stride, stride))


@dataclass(frozen=True)
class GlobalMeanPool:
    """The mean over all pixels: (batch, H, W, C) to (batch, C)."""

    def init(self, rng: np.random.Generator) -> Tree:
        """Return no parameters."""
        return {}

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the layer."""
        return ops.mean(x, (1, 2))
