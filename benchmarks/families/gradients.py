"""Gradient steps z ↦ z − η ∇E(z) and other maps near the identity, whose residual says little about the distance."""

from __future__ import annotations

import numpy as np

from benchmarks.families.family import Drawn, Family, Map
from benchmarks.families.random import symmetric, times


def quadratic(z: np.ndarray, A: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return z − (z − c) A."""
    return z - times(z - c, A)


def double_well(z: np.ndarray, eta: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return z − η z (z² − a²): the minima are ±a, and 0 lies between them."""
    return z - eta * z * (z * z - a * a)


def log_cosh(z: np.ndarray, eta: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return z − η tanh(z − c): far from c all steps are equally long."""
    return z - eta * np.tanh(z - c)


def cosine(z: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Return z + η cos z."""
    return z + eta * np.cos(z)


def power(z: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Return z − η z³: at the fixed point the derivative is 1."""
    return z - eta * z**3


def _center(f: Map, z: np.ndarray, _: np.ndarray, c: np.ndarray) -> np.ndarray:
    return c


def _wells(f: Map, z: np.ndarray, eta: np.ndarray, a: np.ndarray) -> np.ndarray:
    return np.where(np.abs(z) < np.abs(a) / 2, 0.0, np.copysign(np.abs(a), z))


def _zeros_of_cosine(f: Map, z: np.ndarray, eta: np.ndarray) -> np.ndarray:
    return (np.round(z / np.pi - 0.5) + 0.5) * np.pi


def _zero(f: Map, z: np.ndarray, eta: np.ndarray) -> np.ndarray:
    return np.zeros_like(z)


def _spectra(lowest: float, highest: float, *, alike: bool = False) -> Family:
    def draw(rng: np.random.Generator, batch: int) -> Drawn:
        n = int(rng.choice((1, 2, 8)))
        eigenvalues = np.exp(rng.uniform(np.log(lowest), np.log(highest), (batch, 1 if alike else n)))
        A = symmetric(rng, np.broadcast_to(eigenvalues, (batch, n)))
        return (A, rng.standard_normal((batch, n))), 3 * rng.standard_normal((batch, n))

    return Family("near identity" if alike else "quadratic", quadratic, draw, _center)


def _double_wells(rng: np.random.Generator, batch: int) -> Drawn:
    n = int(rng.choice((1, 2, 6)))
    eta = 10.0 ** rng.uniform(-3, -0.5, (batch, 1))
    return (eta, rng.uniform(0.5, 2, (batch, n))), 2 * rng.standard_normal((batch, n))


def _log_coshes(rng: np.random.Generator, batch: int) -> Drawn:
    n = int(rng.choice((1, 2, 6)))
    eta = 10.0 ** rng.uniform(-2, 0.2, (batch, 1))
    return (eta, rng.standard_normal((batch, n))), rng.choice((3.0, 20.0, 100.0)) * rng.standard_normal((batch, n))


def _cosines(rng: np.random.Generator, batch: int) -> Drawn:
    n = int(rng.choice((1, 4)))
    return (10.0 ** rng.uniform(-4, 0, (batch, 1)),), rng.choice((0.0, 5.0)) * rng.standard_normal((batch, n))


def _powers(rng: np.random.Generator, batch: int) -> Drawn:
    return (rng.uniform(0.1, 1, (batch, 1)),), rng.uniform(0.1, 1.5, (batch, 1))


GRADIENTS = (
    _spectra(1e-4, 1.0),
    _spectra(1e-6, 1e-2, alike=True),
    Family("double well", double_well, _double_wells, _wells),
    Family("log-cosh", log_cosh, _log_coshes, _center),
    Family("cosine", cosine, _cosines, _zeros_of_cosine),
    Family("z − η z³", power, _powers, _zero),
)
