"""Root mean square normalization."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.initializers import ones


@dataclass(frozen=True)
class RMSNorm:
    """Divide the last axis by the root of its mean square, then scale each feature (Zhang & Sennrich 2019)."""

    features: int
    epsilon: float = 1e-5

    def init(self, rng: np.random.Generator) -> Tree:
        """Return a scale of ones, shape (features,)."""
        return {"scale": ones(rng, (self.features,))}

    def __call__(self, params: Tree, x: Array) -> Array:
        """Normalize x, shape (batch, ..., features)."""
        return ops.rms_norm(x, params["scale"], self.epsilon)
