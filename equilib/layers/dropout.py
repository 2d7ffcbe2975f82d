"""Dropout whose mask is constant during a solve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree, coefficients
from equilib.autodiff import static_value
from equilib.layers.protocol import WithoutParameters
from equilib.layers.sizes import check_sizes
from equilib.ops.shapes import shape_of
from equilib.options.kinds import check_interval


@dataclass(frozen=True)
class Dropout(WithoutParameters):
    """Set features to zero with probability `rate`, and divide the others by 1 − rate so that the mean is kept.

    A model that is called with `rng` draws the mask once for that pass, so that f stays one map during its solve
    (variational dropout; Gal & Ghahramani 2016, arXiv:1512.05287). Without a mask, as in inference, nothing happens.
    `shape` is that of one sample; 1 along an axis that shares its mask: (1, 1, channels) drops whole channels.

    Raises TypeError or ValueError if `rate` is no number in [0, 1), or `shape` is none.
    """

    rate: float
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        check_interval(self, "rate", "[0, 1)")
        check_sizes(self, "shape")
        if not isinstance(self.shape, tuple | list):
            raise TypeError(f"the shape of dropout is that of one sample, as ({self.shape},), got {self.shape}")

    def draw(self, x: Array, rng: np.random.Generator) -> dict[str, Array]:
        """Draw the mask: 0 or 1/(1 − rate), shape (batch, *shape), in the dtype and on the device of x."""
        if not self.rate:
            return {}
        value = static_value(x)
        kept = rng.random((value.shape[0], *self.shape), dtype=np.float32) >= self.rate
        return {"mask": coefficients(kept / (1 - self.rate), value)}

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the mask, where there is one; raises ValueError if x does not have the shape that was told."""
        if "mask" not in params:
            return x
        found = shape_of(x)[1:]
        if len(found) != len(self.shape) or any(m not in (1, n) for m, n in zip(self.shape, found, strict=True)):
            raise ValueError(f"dropout is for samples of shape {self.shape}, these have shape {found}")
        return ops.multiply(x, params["mask"])
