"""The embedding layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree, array_namespace, to_host
from equilib.autodiff import static_value
from equilib.layers.initializers import Initializer, TruncatedNormal
from equilib.layers.sizes import check_sizes


@dataclass(frozen=True)
class Embedding:
    """A vector for each of `count` tokens: integers of shape (batch, ...) to (batch, ..., features).

    Raises TypeError or ValueError if a size is no positive whole number.
    """

    count: int
    features: int
    initial_weight: Initializer = field(default_factory=TruncatedNormal)

    def __post_init__(self) -> None:
        check_sizes(self, "count", "features")

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the vectors, shape (count, features)."""
        return {"weight": self.initial_weight(rng, (self.count, self.features))}

    def __call__(self, params: Tree, x: Array) -> Array:
        """Return the vectors of tokens, shape (batch, ...).

        Raises ValueError if one is not in 0, ..., count − 1; TypeError if they are no integers.
        """
        tokens = static_value(x)
        xp = array_namespace(tokens)
        if not xp.isdtype(tokens.dtype, "integral"):
            raise TypeError(f"an embedding takes integers, not an array of {tokens.dtype}")
        if prod(tokens.shape):
            ends = xp.stack([xp.min(tokens), xp.max(tokens)])
            least, greatest = map(int, to_host(ends))
            if least < 0 or greatest >= self.count:
                raise ValueError(f"tokens are 0 to {self.count - 1}, and there are some from {least} to {greatest}")
        return ops.take(params["weight"], tokens)
