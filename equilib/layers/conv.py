"""The convolution layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.initializers import Initializer, glorot_uniform, zeros
from equilib.ops.convolution import Padding
from equilib.ops.convolution_block import IDENTITY


@dataclass(frozen=True)
class Conv:
    """Correlate images with kernels; channels last: (batch, H, W, inputs) to (batch, H', W', outputs).

    The kernel has a height and a width. `padding` is rows and columns of zeros on each side; "same" keeps H and W at
    stride 1 (an even kernel gets the odd row and column at the end).

    Raises ValueError if `padding` is neither "same" nor a number that is not negative, or a size is not positive.
    """

    inputs: int
    outputs: int
    kernel: tuple[int, int] = (3, 3)
    stride: int = 1
    padding: int | str = 0
    bias: bool = True
    initial_weight: Initializer = glorot_uniform

    def __post_init__(self) -> None:
        if self.padding != "same" and not (isinstance(self.padding, int) and self.padding >= 0):
            raise ValueError(f"padding must be 'same' or a number of pixels, got {self.padding!r}")
        if min(self.inputs, self.outputs, *self.kernel, self.stride) < 1:
            raise ValueError(f"channels, kernel and stride must be positive, got {self}")

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the weight, shape (kernel height, kernel width, inputs, outputs), and a bias of zeros."""
        params = {"weight": self.initial_weight(rng, (*self.kernel, self.inputs, self.outputs))}
        return {**params, "bias": zeros(rng, (self.outputs,))} if self.bias else params

    def __call__(self, params: Tree, x: Array) -> Array:
        """Convolve images, shape (batch, height, width, channels)."""
        return self.with_epilogue(params, x, IDENTITY, None)

    def with_epilogue(self, params: Tree, x: Array, activation: str, after: Array | None) -> Array:
        """Return φ(conv(x)) + after, of the shape of `conv(x)`, as `TakesEpilogue` says."""
        bias = params["bias"] if self.bias else None
        stride = self.stride, self.stride
        return ops.conv2d_block(x, params["weight"], bias, after, activation, stride, self._padding())

    def _padding(self) -> Padding:
        if isinstance(self.padding, int):
            return (self.padding, self.padding), (self.padding, self.padding)
        height, width = self.kernel
        return ((height - 1) // 2, height // 2), ((width - 1) // 2, width // 2)
