"""Layers that pool images, and enlarge them. Images are channels last: (batch, height, width, channels)."""

from __future__ import annotations

from dataclasses import dataclass

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.protocol import WithoutParameters
from equilib.layers.sizes import check_sizes
from equilib.ops.shapes import shape_of
from equilib.ops.windows import check_images


@dataclass(frozen=True)
class _Pool(WithoutParameters):
    window: int
    stride: int | None = None

    def __post_init__(self) -> None:
        check_sizes(self, "window", *(() if self.stride is None else ("stride",)))

    def _sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        stride = self.stride or self.window
        return (self.window, self.window), (stride, stride)


class AveragePool(_Pool):
    """The mean of each window; `stride` is the window unless given. Pixels that fill no window are left out.

    Raises TypeError or ValueError if window or stride is no positive whole number.
    """

    def __call__(self, params: Tree, x: Array) -> Array:
        """Average images, shape (batch, height, width, channels)."""
        return ops.average_pool(x, *self._sizes())


class MaxPool(_Pool):
    """The largest value of each window; `stride` is the window unless given.

    Raises TypeError or ValueError if window or stride is no positive whole number.
    """

    def __call__(self, params: Tree, x: Array) -> Array:
        """Pool images, shape (batch, height, width, channels)."""
        return ops.max_pool(x, *self._sizes())


@dataclass(frozen=True)
class GlobalMeanPool(WithoutParameters):
    """The mean over all pixels: (batch, H, W, C) to (batch, C)."""

    def __call__(self, params: Tree, x: Array) -> Array:
        """Return the means, shape (batch, channels)."""
        check_images(x)
        return ops.mean(x, (1, 2))


@dataclass(frozen=True)
class Upsample(WithoutParameters):
    """Repeat each pixel `factor` times in both directions: (batch, H, W, C) to (batch, factor·H, factor·W, C).

    Raises TypeError or ValueError if the factor is no positive whole number.
    """

    factor: int = 2

    def __post_init__(self) -> None:
        check_sizes(self, "factor")

    def __call__(self, params: Tree, x: Array) -> Array:
        """Enlarge images, shape (batch, height, width, channels)."""
        check_images(x)
        n, h, w, c = shape_of(x)
        k = self.factor
        repeated = ops.broadcast_to(ops.reshape(x, (n, h, 1, w, 1, c)), (n, h, k, w, k, c))
        return ops.reshape(repeated, (n, h * k, w * k, c))
