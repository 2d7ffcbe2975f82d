"""Nonlinear cells: contractions, Hopfield maps, cells with group norms, cycles, saturated and badly scaled ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.families.family import Drawn, Family, Map, by_refinement
from benchmarks.families.random import directions, times

BETAS = (1.2, 1.5, 2.0, 3.0, 5.0, 10.0)
GROUPS = 4


def tanh_cell(z: np.ndarray, W: np.ndarray, x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return s tanh((z / s) W + x)."""
    return scale * np.tanh(times(z / scale, W) + x)


def hopfield(z: np.ndarray, W: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return tanh(z W + u)."""
    return np.tanh(times(z, W) + u)


def group_norm_cell(z: np.ndarray, W: np.ndarray, V: np.ndarray, x: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Return N(relu(z + N(x + N(relu(z W)) V))) with group norms N of gains g: a dense MDEQ cell."""
    first, second, third = gains[:, 0:1], gains[:, 1:2], gains[:, 2:3]
    inner = first * _normalized(_relu(times(z, W)))
    return third * _normalized(_relu(z + second * _normalized(x + times(inner, V))))


def logistic(z: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Return r z (1 − z), whose iterates run in a cycle for r above 3."""
    return rate * z * (1 - z)


def bistable(z: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return tanh(2 z + c): the first residual from 0 is as small as c, the fixed point far."""
    return np.tanh(2 * z + c)


def _relu(a: np.ndarray) -> np.ndarray:
    return np.where(a.real > 0, a, 0 * a)


def _normalized(a: np.ndarray) -> np.ndarray:
    grouped = a.reshape(len(a), GROUPS, -1)
    centered = grouped - grouped.mean(axis=2, keepdims=True)
    deviation = np.sqrt((centered * centered).mean(axis=2, keepdims=True) + a.real.dtype.type(1e-5))
    normalized: np.ndarray = (centered / deviation).reshape(a.shape)
    return normalized


def _logistic_points(f: Map, z: np.ndarray, rate: np.ndarray) -> np.ndarray:
    other = 1 - 1 / rate
    return np.where(np.abs(z) < np.abs(z - other), 0.0, other)


def _in_units(f: Map, z: np.ndarray, W: np.ndarray, x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return s u for the fixed point u of tanh(u W + x) nearest to z / s: sizes of 1e-6 to 1e6 hinder no search."""
    ones, u = np.ones_like(scale), z / scale
    found = by_refinement(f, u, W, x, ones)
    # There is one (Brouwer): it is looked for from elsewhere, the elements too small for the norm first.
    rng = np.random.default_rng(0)
    for _ in range(40):
        lost = np.isnan(found).any(axis=1)
        if not lost.any():
            break
        start = np.where(rng.random(u.shape) < 0.5, u, rng.uniform(-1, 1, u.shape))
        found[lost] = by_refinement(f, start[lost], W[lost], x[lost], ones[lost])
    return scale * found


def _contraction(rng: np.random.Generator, batch: int) -> Drawn:
    n = int(rng.choice((1, 4, 16)))
    W = rng.uniform(0.3, 0.95, (batch, 1, 1)) * directions(rng, batch, n)
    return (W, rng.standard_normal((batch, n)), np.ones((batch, 1))), np.zeros((batch, n))


def _scaled(rng: np.random.Generator, batch: int) -> Drawn:
    n = 7
    scale = np.broadcast_to(10.0 ** np.linspace(-6, 6, n), (batch, n))
    W = rng.uniform(0.3, 1.5, (batch, 1, 1)) * directions(rng, batch, n)
    return (W, rng.standard_normal((batch, n)), scale), scale * rng.uniform(-0.5, 0.5, (batch, n))


def _saturated(rng: np.random.Generator, batch: int) -> Drawn:
    n = int(rng.choice((4, 16)))
    W = rng.uniform(2, 6, (batch, 1, 1)) * rng.standard_normal((batch, n, n)) / np.sqrt(n)
    return (W, rng.standard_normal((batch, n)), np.ones((batch, 1))), np.zeros((batch, n))


def hopfield_inputs(beta: float) -> Callable[[np.random.Generator, int], Drawn]:
    """Return a drawer of W = β QᵀQ / 64 with three patterns Q, the same for the batch, and weak fields u."""

    def draw(rng: np.random.Generator, batch: int) -> Drawn:
        Q = rng.choice((-1.0, 1.0), (3, 64))
        W = np.broadcast_to(beta * Q.T @ Q / 64, (batch, 64, 64))
        return (W, 0.3 * rng.standard_normal((batch, 64))), np.zeros((batch, 64))

    return draw


def _hopfield(rng: np.random.Generator, batch: int) -> Drawn:
    return hopfield_inputs(float(rng.choice(BETAS)))(rng, batch)


def group_norm_inputs(gain: float, injection: float) -> Callable[[np.random.Generator, int], Drawn]:
    """Return a drawer of cells of 32 elements in 4 groups, with normal weights, the same for the batch."""

    def draw(rng: np.random.Generator, batch: int) -> Drawn:
        n = 32
        W, V = (np.broadcast_to(rng.standard_normal((n, n)) / np.sqrt(n), (batch, n, n)) for _ in range(2))
        gains = np.broadcast_to((1.0, gain, 1.0), (batch, 3))
        return (W, V, injection * rng.standard_normal((batch, n)), gains), np.zeros((batch, n))

    return draw


def _group_norm(rng: np.random.Generator, batch: int) -> Drawn:
    return group_norm_inputs(float(rng.choice((0.1, 0.3, 1.0, 3.0))), float(rng.choice((1.0, 3.0))))(rng, batch)


def _cycles(rng: np.random.Generator, batch: int) -> Drawn:
    return (rng.uniform(2.8, 3.9, (batch, 1)),), rng.uniform(0.05, 0.95, (batch, 1))


def _bistable(rng: np.random.Generator, batch: int) -> Drawn:
    return (10.0 ** rng.uniform(-8, -1, (batch, 1)),), np.zeros((batch, 1))


CELLS = (
    Family("tanh contraction", tanh_cell, _contraction),
    Family("tanh, badly scaled", tanh_cell, _scaled, _in_units),
    Family("tanh, saturated", tanh_cell, _saturated),
    Family("Hopfield", hopfield, _hopfield),
    Family("group norm", group_norm_cell, _group_norm),
    Family("logistic", logistic, _cycles, _logistic_points),
    Family("tanh(2z + c)", bistable, _bistable),
)
