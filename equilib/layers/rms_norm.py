"""Root mean square normalization."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.initializers import ones
from equilib.layers.sizes import check_sizes
from equilib.options.kinds import check_interval


@dataclass(frozen=True)
class RMSNorm:
    """Divide the last axis by the root of its mean square, then scale each feature (Zhang & Sennrich 2019).

    Raises TypeError or ValueError if `features` is no positive whole number, or ε negative.
    """

    features: int
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        check_sizes(self, "features")
        check_interval(self, "epsilon", "[0, inf)")

    def init(self, rng: np.random.Generator) -> Tree:
        """Return a scale of ones, shape (features,)."""
        return {"scale": ones(rng, (self.features,))}

    def __call__(self, params: Tree, x: Array) -> Array:
        """Normalize x, shape (batch, ..., features)."""
        return ops.rms_norm(x, params["scale"], self.epsilon)
