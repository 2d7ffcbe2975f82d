"""Layers that pool images, and enlarge them. Images are channels last: (batch, height, width, channels)."""

from __future__ import annotations

from dataclasses import dataclass

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.protocol import WithoutParameters
from equilib.ops.shapes import shape_of


@dataclass(frozen=True)
class _Pool(WithoutParameters):
    window: int
    stride: int | None = None

    def __post_init__(self) -> None:
        if self.window < 1 or (self.stride is not None and self.stride < 1):
            raise ValueError(f"window and stride must be positive, got {self}")

    def _sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        stride = self.stride or self.window
        return (self.window, self.window), (stride, stride)


class AveragePool(_Pool):
    """The mean of each window; `stride` is the window unless given. Pixels that fill no window are left out.

    Raises ValueError if window or stride is not positive.
    """

    def __call__(self, params: Tree, x: Array) -> Array:
        """Average images, shape (batch, height, width, channels)."""
        return ops.average_pool(x, *self._sizes())


class MaxPool(_Pool):
    """The largest value of each window; `stride` is the window unless given.

    Raises ValueError if window or stride is not positive.
    """

    def __call__(self, params: Tree, x: Array) -> Array:
        """Pool images, shape (batch, height, width, channels)."""
        return ops.max_pool(x, *self._sizes())


@dataclass(frozen=True)
class GlobalMeanPool(WithoutParameters):
    """The mean over all pixels: (batch, H, W, C) to (batch, C)."""

    def __call__(self, params: Tree, x: Array) -> Array:
        """Return the means, shape (batch, channels)."""
        return ops.mean(x, (1, 2))


@dataclass(frozen=True)
class Upsample(WithoutParameters):
    """Repeat each pixel `factor` times in both directions: (batch, H, W, C) to (batch, factor·H, factor·W, C).

    Raises ValueError if the factor is not positive.
    """

    factor: int = 2

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError(f"the factor must be positive, got {self.factor}")

    def __call__(self, params: Tree, x: Array) -> Array:
        """Enlarge images, shape (batch, height, width, channels)."""
        n, h, w, c = shape_of(x)
        k = self.factor
        repeated = ops.broadcast_to(ops.reshape(x, (n, h, 1, w, 1, c)), (n, h, k, w, k, c))
        return ops.reshape(repeated, (n, h * k, w * k, c))
