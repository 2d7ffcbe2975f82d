"""Random initial values, drawn in float32 on the host.

The fan-in of a kernel of shape (..., inputs, outputs) is the number of inputs of one output: all axes but the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import erf, exp, pi, prod, sqrt
from typing import TypeAlias

import numpy as np

from equilib.options.kinds import check_interval, check_kind

Initializer: TypeAlias = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
"""(rng, shape) to a float32 array of that shape."""


def _sizes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape; raises ValueError unless it consists of sizes."""
    if not all(isinstance(size, int | np.integer) and size >= 0 for size in shape):
        raise ValueError(f"parameters of shape {shape} are none: the sizes of a layer are integers, not negative")
    return shape


def zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return zeros of the given shape, float32."""
    return np.zeros(_sizes(shape), dtype=np.float32)


def ones(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return ones of the given shape, float32."""
    return np.ones(_sizes(shape), dtype=np.float32)


@dataclass(frozen=True)
class TruncatedNormal:
    """Normal values of mean 0, drawn again where they are beyond `bound` standard deviations.

    `std` is the deviation of what is returned: the parent normal is widened to make up for the cut tails. (Lux and Flux
    cut a normal of deviation `std` at the absolute values ±2 instead, and widen nothing.)

    Raises TypeError or ValueError if `std` is negative or `bound` not positive.
    """

    std: float = 1.0
    bound: float = 2.0

    def __post_init__(self) -> None:
        check_interval(self, "std", "[0, inf)")
        check_interval(self, "bound", "(0, inf]")

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw an array of the given shape, float32."""
        check_kind(rng, "rng", "random generator")
        values = rng.standard_normal(_sizes(shape))
        beyond = np.abs(values) > self.bound
        while beyond.any():
            values[beyond] = rng.standard_normal(int(beyond.sum()))
            beyond = np.abs(values) > self.bound
        return (values * (self.std / _truncated_deviation(self.bound))).astype(np.float32)


def _truncated_deviation(bound: float) -> float:
    """Return the standard deviation of a standard normal cut at ±bound: √(1 − 2 b φ(b) / (2 Φ(b) − 1))."""
    density = exp(-(bound**2) / 2) / sqrt(2 * pi)
    return sqrt(1 - 2 * bound * density / erf(bound / sqrt(2)))


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw from ±√(6 / (fan-in + fan-out)), float32, of the given shape (Glorot & Bengio 2010, eq. 16)."""
    check_kind(rng, "rng", "random generator")
    window = prod(_sizes(shape)[:-2])
    limit = sqrt(6 / (window * (shape[-2] + shape[-1])))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


@dataclass(frozen=True)
class KaimingUniform:
    """Uniform values in ±gain·√(3 / fan-in) (He et al. 2015, eq. 10, for gain √2).

    Raises TypeError or ValueError if the gain is negative.
    """

    gain: float = sqrt(2)

    def __post_init__(self) -> None:
        check_interval(self, "gain", "[0, inf)")

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw an array of the given shape, float32."""
        check_kind(rng, "rng", "random generator")
        limit = self.gain * sqrt(3 / prod(_sizes(shape)[:-1]))
        return rng.uniform(-limit, limit, shape).astype(np.float32)
