"""Pooling layers. Images are channels last: (batch, height, width, channels)."""

from __future__ import annotations

from dataclasses import dataclass

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.protocol import WithoutParameters


@dataclass(frozen=True)
class _Pool(WithoutParameters):
    window: int
    stride: int | None = None

    def _sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        stride = self.stride or self.window
        return (self.window, self.window), (stride, stride)


class AveragePool(_Pool):
    """The mean of each window; `stride` is the window unless given. Pixels that fill no window are left out."""

    def __call__(self, params: Tree, x: Array) -> Array:
        """Average images, shape (batch, height, width, channels)."""
        return ops.average_pool(x, *self._sizes())


class MaxPool(_Pool):
    """The largest value of each window; `stride` is the window unless given."""

    def __call__(self, params: Tree, x: Array) -> Array:
        """Pool images, shape (batch, height, width, channels)."""
        return ops.max_pool(x, *self._sizes())


@dataclass(frozen=True)
class GlobalMeanPool(WithoutParameters):
    """The mean over all pixels: (batch, H, W, C) to (batch, C)."""

    def __call__(self, params: Tree, x: Array) -> Array:
        """Return the means, shape (batch, channels)."""
        return ops.mean(x, (1, 2))
