"""The upsampling layer. Images are channels last: (batch, height, width, channels)."""

from __future__ import annotations

from dataclasses import dataclass

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.protocol import WithoutParameters
from equilib.ops.shapes import shape_of


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
