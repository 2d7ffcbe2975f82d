"""The affine layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.initializers import Initializer, glorot_uniform, zeros
from equilib.layers.sizes import check_sizes


@dataclass(frozen=True)
class Dense:
    """y = x W + b on the last axis: (..., inputs) to (..., outputs).

    Raises TypeError or ValueError if a size is no positive whole number.
    """

    inputs: int
    outputs: int
    bias: bool = True
    initial_weight: Initializer = glorot_uniform

    def __post_init__(self) -> None:
        check_sizes(self, "inputs", "outputs")

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the weight, shape (inputs, outputs), and a bias of zeros."""
        params = {"weight": self.initial_weight(rng, (self.inputs, self.outputs))}
        return {**params, "bias": zeros(rng, (self.outputs,))} if self.bias else params

    def __call__(self, params: Tree, x: Array) -> Array:
        """Map vectors, shape (..., inputs), to (..., outputs)."""
        return ops.dense(x, params["weight"], params["bias"] if self.bias else None)
