"""The convolution layer of sequences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.conv import check_groups, check_same, pads
from equilib.layers.initializers import Initializer, glorot_uniform, zeros
from equilib.layers.sizes import check_sizes


@dataclass(frozen=True)
class Conv1d:
    """Correlate sequences with kernels; channels last: (batch, length, inputs) to (batch, length', outputs).

    `padding` is zeros on each side. At stride 1 "same" keeps the length (with another it is refused), and so does
    "causal", whose outputs see nothing that comes later. Dilation and groups are those of `Conv`.

    Raises TypeError or ValueError if `padding` is neither of these, or "same" with a stride, a size is no positive
    whole number, or `groups` do not divide the channels.
    """

    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    padding: int | str = 0
    bias: bool = True
    initial_weight: Initializer = glorot_uniform
    dilation: int = 1
    groups: int = 1

    def __post_init__(self) -> None:
        if self.padding not in ("same", "causal") and not (isinstance(self.padding, int) and self.padding >= 0):
            raise ValueError(f"padding must be 'same', 'causal' or a number of zeros, got {self.padding!r}")
        check_sizes(self, "inputs", "outputs", "kernel", "stride", "dilation", "groups")
        check_same(self.padding, self.stride)
        check_groups(self.groups, self.inputs, self.outputs)

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the weight, shape (kernel, inputs // groups, outputs), and a bias of zeros."""
        params = {"weight": self.initial_weight(rng, (self.kernel, self.inputs // self.groups, self.outputs))}
        return {**params, "bias": zeros(rng, (self.outputs,))} if self.bias else params

    def __call__(self, params: Tree, x: Array) -> Array:
        """Convolve sequences, shape (batch, length, channels)."""
        padding = pads(self.padding, self.kernel, self.dilation)
        y = ops.conv1d(x, params["weight"], self.stride, padding, self.dilation, self.groups)
        return ops.add(y, params["bias"]) if self.bias else y
