"""Residual blocks z ↦ z + tanh(z W + x), whose residual is bounded: one long step makes it small beside z."""

from __future__ import annotations

import numpy as np

from benchmarks.families.family import Drawn, Family, Map, nowhere
from benchmarks.families.random import times


def block(z: np.ndarray, W: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return z + tanh(z W + x)."""
    return z + np.tanh(times(z, W) + x)


def solution(f: Map, z: np.ndarray, W: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return −x W⁻¹, the only fixed point where W is regular."""
    return np.linalg.solve(np.swapaxes(W, 1, 2), -x[:, :, None])[:, :, 0]


def _drawn(rng: np.random.Generator, batch: int, sign: float) -> Drawn:
    n = int(rng.choice((1, 2, 8, 16)))
    W = sign * (np.eye(n) + 0.3 * rng.standard_normal((batch, n, n)) / np.sqrt(n))
    x = rng.choice((1.0, 3.0)) * rng.standard_normal((batch, n))
    return (W, x), rng.choice((0.0, 3.0)) * rng.standard_normal((batch, n))


def _attracting(rng: np.random.Generator, batch: int) -> Drawn:
    return _drawn(rng, batch, -1.0)


def _repelling(rng: np.random.Generator, batch: int) -> Drawn:
    return _drawn(rng, batch, 1.0)


def _singular(rng: np.random.Generator, batch: int) -> Drawn:
    """Draw a W of rank n − 1, and an x that is not in its range: no fixed point."""
    n = int(rng.choice((2, 4, 8)))
    W, x = np.zeros((batch, n, n)), np.zeros((batch, n))
    W[:, : n - 1, : n - 1] = -(np.eye(n - 1) + 0.3 * rng.standard_normal((batch, n - 1, n - 1)) / np.sqrt(n))
    x[:, -1] = rng.uniform(0.05, 1, batch)
    x[:, :-1] = rng.standard_normal((batch, n - 1))
    return (W, x), rng.standard_normal((batch, n))


RESIDUAL_BLOCKS = (
    Family("residual block", block, _attracting, solution),
    Family("residual block, repelling", block, _repelling, solution),
    Family("residual block, singular", block, _singular, nowhere),
)
