"""Batch normalization, with its statistics among the parameters."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree, is_half
from equilib.autodiff import static_value, stop_gradient
from equilib.autodiff.custom import beside
from equilib.layers.initializers import ones, zeros
from equilib.layers.observation import note_running
from equilib.layers.sizes import check_sizes
from equilib.ops.elementwise import astype
from equilib.ops.half_precision import single
from equilib.ops.shapes import shape_of
from equilib.options.kinds import check_interval


@dataclass(frozen=True)
class BatchNorm:
    """Normalize each channel by statistics of many batches, then scale and shift it (Ioffe & Szegedy 2015).

    Called as a layer it is an affine map of each sample, (x − mean) / √(variance + ε) · scale + shift with the running
    statistics that are among its parameters: constants, so that it may stand in the cell of an equilibrium. There the
    statistics of a batch cannot be used: f would be another map whenever samples leave the solve. In training
    `observing` uses them, outside of equilibria, and returns the parameters with the running statistics moved.

    Channels last: (batch, ..., channels). Raises TypeError or ValueError if `channels` is no positive whole number,
    `momentum`, the share of a new batch, is not in (0, 1], or ε is negative.
    """

    channels: int
    momentum: float = 0.1
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        check_sizes(self, "channels")
        check_interval(self, "momentum", "(0, 1]")
        check_interval(self, "epsilon", "[0, inf)")

    def init(self, rng: np.random.Generator) -> Tree:
        """Return a scale and a variance of ones, a shift and a mean of zeros, shape (channels,)."""
        shape = (self.channels,)
        return {
            "scale": ones(rng, shape),
            "shift": zeros(rng, shape),
            "mean": zeros(rng, shape),
            "variance": ones(rng, shape),
        }

    def __call__(self, params: Tree, x: Array) -> Array:
        """Normalize x, shape (batch, ..., channels), by the running statistics; raises ValueError as `observe` does."""
        self._check(x)
        note_running(self)
        return self._normalized(params, x, single(x), *stop_gradient((params["mean"], params["variance"])))

    def observe(self, params: Tree, x: Array) -> tuple[Array, Tree]:
        """Normalize x, shape (batch, ..., channels), by its own statistics; return it and the parameters moved to them.

        The derivative with respect to the running statistics is zero.

        Raises ValueError if x has other channels, or one number for each only, which has no variance.
        """
        self._check(x)
        *places, _ = shape_of(x)
        count, axes = prod(places), tuple(range(len(places)))
        if count < 2:
            raise ValueError(
                f"a batch of shape {shape_of(x)} has one number for each channel, and so no variance: give more"
            )
        wide = single(x)
        mean, variance = ops.mean(wide, axes), ops.var(wide, axes)
        found = {"mean": stop_gradient(mean), "variance": stop_gradient(variance) * (count / (count - 1))}
        moved = {name: self._moved(stop_gradient(params[name]), new) for name, new in found.items()}
        y = self._normalized(params, x, wide, mean, variance)
        return beside(y, params["mean"], params["variance"]), {**params, **moved}

    def _check(self, x: Array) -> None:
        if shape_of(x)[-1:] != (self.channels,):
            raise ValueError(f"BatchNorm of {self.channels} channels, the last axis, was given the shape {shape_of(x)}")

    def _moved(self, running: Array, found: Array) -> Array:
        moved = (1 - self.momentum) * running + self.momentum * found
        return astype(moved, running.dtype)

    def _normalized(self, params: Tree, x: Array, wide: Array, mean: Array, variance: Array) -> Array:
        """Return x, which is `wide` in single at least, by these statistics."""
        slope = ops.multiply(params["scale"], ops.pow(ops.add(single(variance), self.epsilon), -0.5))
        y = ops.add(ops.multiply(ops.subtract(wide, mean), slope), params["shift"])
        return astype(y, static_value(x).dtype) if is_half(x) and is_half(params["scale"]) else y
