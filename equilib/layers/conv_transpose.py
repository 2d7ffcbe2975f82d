"""The transposed convolution layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.initializers import Initializer, glorot_uniform, zeros
from equilib.layers.sizes import check_sizes, pair_of


@dataclass(frozen=True)
class ConvTranspose:
    """Apply the transpose of a convolution: (batch, H, W, inputs) to (batch, H', W', outputs), larger by the stride.

    H' = (H − 1) · stride − 2 · padding + kernel + output padding: the image that a `Conv` with this kernel, stride and
    padding leads to H; the output padding says which of those that it does.

    Raises TypeError or ValueError if a size is no positive whole number, the padding none or negative, or the output
    padding not in [0, stride).
    """

    inputs: int
    outputs: int
    kernel: int | tuple[int, int] = (3, 3)
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    bias: bool = True
    initial_weight: Initializer = glorot_uniform

    def __post_init__(self) -> None:
        check_sizes(self, "inputs", "outputs", "stride")
        check_sizes(self, "padding", "output_padding", least=0)
        object.__setattr__(self, "kernel", pair_of(self, "kernel"))
        if self.output_padding >= self.stride:
            raise ValueError(f"the output padding must be in [0, stride), got {self}")

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the weight, shape (kernel height, kernel width, outputs, inputs), and a bias of zeros."""
        params = {"weight": self.initial_weight(rng, (*self._window(), self.outputs, self.inputs))}
        return {**params, "bias": zeros(rng, (self.outputs,))} if self.bias else params

    def __call__(self, params: Tree, x: Array) -> Array:
        """Enlarge images, shape (batch, height, width, channels)."""
        pads, more = (self.padding, self.padding), (self.output_padding, self.output_padding)
        y = ops.conv2d_transpose(x, params["weight"], (self.stride, self.stride), (pads, pads), more)
        return ops.add(y, params["bias"]) if self.bias else y

    def _window(self) -> tuple[int, int]:
        return cast("tuple[int, int]", self.kernel)  # one number has become two
