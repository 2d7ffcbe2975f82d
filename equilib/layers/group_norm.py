"""The group-normalization layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.initializers import ones, zeros


@dataclass(frozen=True)
class GroupNorm:
    """Normalize groups of channels of each sample, then scale and shift each channel (Wu & He 2018).

    Channels last: (batch, ..., channels). As many groups as channels is instance norm.

    Raises ValueError if `groups` does not divide `channels`.
    """

    channels: int
    groups: int
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        if self.groups < 1 or self.channels % self.groups:
            raise ValueError(f"{self.groups} groups do not divide {self.channels} channels")

    def init(self, rng: np.random.Generator) -> Tree:
        """Return a scale of ones and a shift of zeros, shape (channels,)."""
        return {"scale": ones(rng, (self.channels,)), "shift": zeros(rng, (self.channels,))}

    def __call__(self, params: Tree, x: Array) -> Array:
        """Normalize x, shape (batch, ..., channels)."""
        return ops.group_norm(x, self.groups, self.epsilon, params["scale"], params["shift"])
