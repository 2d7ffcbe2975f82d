"""Affine maps z ↦ z M + b: contractions, rotations, maps that are not normal, expansive, stiff or badly scaled."""

from __future__ import annotations

import numpy as np

from benchmarks.families.family import Family, Map
from benchmarks.families.random import directions, rotations, times


def affine(z: np.ndarray, M: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return z M + b for each sample."""
    return times(z, M) + b


def solution(f: Map, z: np.ndarray, M: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return b (I − M)⁻¹, the only fixed point."""
    A = np.swapaxes(np.eye(M.shape[1]) - M, 1, 2)
    return np.linalg.solve(A, b[:, :, None])[:, :, 0]


def _contraction(rng: np.random.Generator, batch: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    n = int(rng.choice((1, 3, 8, 16)))
    M = rng.standard_normal((batch, n, n)) + np.eye(n, k=1)
    M *= rng.uniform(0.3, 0.97, (batch, 1, 1)) / np.linalg.norm(M, 2, axis=(1, 2), keepdims=True)
    return (M, 3 * rng.standard_normal((batch, n))), np.zeros((batch, n))


def _not_normal(rng: np.random.Generator, batch: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Draw a diagonal within (−0.9, 0.9) and a strong superdiagonal: powers of M grow before they vanish."""
    n = int(rng.choice((6, 12, 16)))
    M = np.eye(n) * np.linspace(-0.8, 0.8, n) + rng.uniform(1, 2.5, (batch, 1, 1)) * np.eye(n, k=1)
    return (M, rng.standard_normal((batch, n))), rng.choice((0.0, 1.0)) * rng.standard_normal((batch, n))


def _rotating(rng: np.random.Generator, batch: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Turn by any angle and shrink or grow a little: the eigenvalues of M are complex, near the unit circle."""
    pairs = int(rng.choice((1, 3)))
    M = rng.uniform(0.9, 1.1, (batch, 1, 1)) * rotations(rng.uniform(0.1, 3.1, (batch, pairs)))
    n = 2 * pairs
    return (M, rng.standard_normal((batch, n))), rng.standard_normal((batch, n))


def _expansive(rng: np.random.Generator, batch: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    n = int(rng.choice((1, 4, 8)))
    M = rng.uniform(1.5, 4, (batch, 1, 1)) * directions(rng, batch, n)
    return (M, rng.standard_normal((batch, n))), rng.standard_normal((batch, n))


def _strongly_coupled(rng: np.random.Generator, batch: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Draw an orthogonal I − M of 40 elements, whose eigenvalues surround zero: 20 products with it are too few."""
    n = 40
    return (np.eye(n) - directions(rng, batch, n), rng.standard_normal((batch, n))), np.zeros((batch, n))


def _diffusion(rng: np.random.Generator, batch: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Draw an explicit step of diffusion on 60 points: M contracts by about 0.999."""
    n = 60
    laplacian = np.eye(n, k=1) + np.eye(n, k=-1) - 2 * np.eye(n)
    M = np.eye(n) + rng.uniform(0.2, 0.45, (batch, 1, 1)) * laplacian
    return (M, 1e-2 * rng.standard_normal((batch, n))), np.zeros((batch, n))


def _badly_scaled(rng: np.random.Generator, batch: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Draw a contraction whose elements measure 1e-6 to 1e6."""
    n = 7
    scales = 10.0 ** np.linspace(-6, 6, n)
    (M, b), z0 = _scaled_contraction(rng, batch, n)
    return (M / scales[:, None] * scales, b * scales), z0 * scales


def _scaled_contraction(rng: np.random.Generator, batch: int, n: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    M = rng.uniform(0.3, 0.9, (batch, 1, 1)) * directions(rng, batch, n)
    return (M, rng.standard_normal((batch, n))), 3 * rng.standard_normal((batch, n))


def _sized(exponents: tuple[int, ...]) -> Family:
    def draw(rng: np.random.Generator, batch: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        (M, b), z0 = _scaled_contraction(rng, batch, int(rng.choice((1, 4))))
        scale = 10.0 ** rng.choice(exponents, (batch, 1))
        return (M, b * scale), z0 * scale

    name = "tiny" if max(exponents) < 0 else "huge"
    return Family(f"{name} affine", affine, draw, solution, options={"atol": 0.0})


LINEAR = (
    Family("affine contraction", affine, _contraction, solution),
    Family("not normal", affine, _not_normal, solution),
    Family("rotating", affine, _rotating, solution),
    Family("expansive affine", affine, _expansive, solution),
    Family("strongly coupled", affine, _strongly_coupled, solution),
    Family("diffusion", affine, _diffusion, solution),
    Family("badly scaled", affine, _badly_scaled, solution),
    _sized((-25, -20)),
    _sized((15, 20)),
)
