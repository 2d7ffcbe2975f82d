"""Normalization: of groups of channels, and of weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree, is_half
from equilib.layers.epilogue import apply
from equilib.layers.initializers import ones, zeros
from equilib.layers.protocol import Layer
from equilib.layers.sizes import check_sizes
from equilib.ops.convolution_block import IDENTITY
from equilib.ops.half_precision import in_single
from equilib.ops.shapes import shape_of
from equilib.options.kinds import check_interval, check_kind


@dataclass(frozen=True)
class GroupNorm:
    """Normalize groups of channels of each sample, then scale and shift each channel (Wu & He 2018).

    Channels last: (batch, ..., channels). As many groups as channels is instance norm.

    Raises TypeError or ValueError if a size is no positive whole number, `groups` does not divide `channels`,
    or ε is negative.
    """

    channels: int
    groups: int
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        check_sizes(self, "channels", "groups")
        if self.channels % self.groups:
            raise ValueError(f"{self.groups} groups do not divide {self.channels} channels")
        check_interval(self, "epsilon", "[0, inf)")

    def init(self, rng: np.random.Generator) -> Tree:
        """Return a scale of ones and a shift of zeros, shape (channels,)."""
        return {"scale": ones(rng, (self.channels,)), "shift": zeros(rng, (self.channels,))}

    def __call__(self, params: Tree, x: Array) -> Array:
        """Normalize x, shape (batch, ..., channels)."""
        return ops.group_norm(x, self.groups, self.epsilon, params["scale"], params["shift"])


@dataclass(frozen=True)
class WeightNorm:
    """A layer whose weight is w = g·v/‖v‖, with one length g for each output (Salimans & Kingma 2016, eq. 2).

    The parameters are those of the layer, with `direction` v and `gain` g instead of `weight`. Outputs are the last
    axis of the weight. During a solve w is computed once.

    Raises TypeError if `layer` is none.
    """

    layer: Layer

    def __post_init__(self) -> None:
        check_kind(self.layer, "the layer of WeightNorm", "layer")

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the layer's parameters; the first w is what the layer draws.

        Raises ValueError if the layer has no parameter `weight`, or draws one that is zero for some output and has no
        direction.
        """
        params = self.layer.init(rng)
        if not isinstance(params, dict) or "weight" not in params:
            raise ValueError(
                f"weight normalization is for layers with a parameter 'weight', which {self.layer} has not"
            )
        direction = params.pop("weight")
        gain = np.sqrt(np.sum(direction**2, axis=_inputs(direction)))
        if not gain.all():
            raise ValueError(f"a weight of zeros has no direction: give {self.layer} another initial weight")
        return {"direction": direction, "gain": gain, **params}

    def prepare(self, params: Tree) -> Tree:
        """Return the layer's own parameters: w as `weight`, and the rest."""
        rest = dict(params)
        v, g = rest.pop("direction"), rest.pop("gain")
        length = in_single(_length, v) if is_half(v) else _length(v)
        return {"weight": ops.multiply(v, ops.divide(g, length)), **rest}

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the layer to x, shape (batch, ...)."""
        return self.with_epilogue(params, x, IDENTITY, None)

    def with_epilogue(self, params: Tree, x: Array, activation: str, after: Array | None) -> Array:
        """Return φ(layer(x)) + after for x of shape (batch, ...), as `TakesEpilogue` says."""
        return apply(self.layer, params if "weight" in params else self.prepare(params), x, activation, after)


def _length(direction: Array) -> Array:
    return ops.sqrt(ops.sum(ops.multiply(direction, direction), _inputs(direction)))


def _inputs(weight: Array) -> tuple[int, ...]:
    """Return the axes over which one output sums."""
    return tuple(range(len(shape_of(weight)) - 1))
