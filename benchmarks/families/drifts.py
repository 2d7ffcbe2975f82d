"""Maps without a fixed point, and one whose only fixed point lies behind the drift."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.families.family import Drawn, Family, Map, nowhere
from benchmarks.families.random import rotations, times


def shift(z: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return z + c."""
    return z + c


def slope(z: np.ndarray, a: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return a z + c."""
    return a * z + c


def wave(z: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return z + c + sin²(z) / 2: the residual is least, c, at the multiples of π."""
    return z + c + np.sin(z) ** 2 / 2


def decay(z: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return z + c exp(−z): the residual vanishes at infinity only."""
    return z + c * np.exp(-z)


def rational(z: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return z + c / (1 + z²): the residual vanishes at infinity only."""
    return z + c / (1 + z * z)


def valley(z: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return z + c + z²: the residual has its least, c, at 0."""
    return z + c + z * z


def spiral(z: np.ndarray, R: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return z R + c, where R turns all coordinates but the last, which drifts."""
    return times(z, R) + c


def _behind(f: Map, z: np.ndarray, a: np.ndarray, c: np.ndarray) -> np.ndarray:
    return np.broadcast_to(c / (1 - a), z.shape)


def _positive(scale: tuple[float, float], start: float) -> Callable[[np.random.Generator, int], Drawn]:
    def draw(rng: np.random.Generator, batch: int) -> Drawn:
        n = int(rng.choice((1, 1, 4)))
        return (rng.uniform(*scale, (batch, n)),), start * rng.standard_normal((batch, n))

    return draw


def _slopes(rng: np.random.Generator, batch: int) -> Drawn:
    a = 1 + 10.0 ** rng.uniform(-4, -2, (batch, 1))
    return (a, rng.uniform(0.5, 2, (batch, 1))), rng.standard_normal((batch, 1))


def _spirals(rng: np.random.Generator, batch: int) -> Drawn:
    R = np.zeros((batch, 5, 5))
    R[:, :4, :4] = rng.uniform(0.8, 1, (batch, 1, 1)) * rotations(rng.uniform(0.3, 3, (batch, 2)))
    R[:, 4, 4] = 1
    return (R, rng.uniform(0.1, 1, (batch, 5))), rng.standard_normal((batch, 5))


DRIFTS = (
    Family("z + c", shift, _positive((0.2, 2), 1.0), nowhere),
    Family("z + c + sin²(z)/2", wave, _positive((0.05, 0.2), 10.0), nowhere),
    Family("z + c exp(−z)", decay, _positive((0.2, 2), 1.0), nowhere),
    Family("z + c/(1 + z²)", rational, _positive((0.2, 2), 1.0), nowhere),
    Family("z + c + z²", valley, _positive((0.01, 0.5), 1.0), nowhere),
    Family("spiral drift", spiral, _spirals, nowhere),
    Family("(1 + ε) z + c", slope, _slopes, _behind),
)
