"""A small equilibrium model, trained on two spirals: the cells that its solver meets from the start to the end."""

from __future__ import annotations

import numpy as np

UNITS, SAMPLES, STEPS, RATE = 24, 64, 400, 0.1
STAGES = (0, 50, 150, 400)
"""Steps of training after which the cell is kept."""


def spirals(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points of two spirals, shape (samples, 2), and their signs."""
    t = np.linspace(0.25, 1.0, samples // 2)
    turns = 3 * np.pi * t
    one = np.stack([t * np.cos(turns), t * np.sin(turns)], axis=1)
    return np.concatenate([one, -one]), np.repeat([1.0, -1.0], samples // 2)


def trained_cells() -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Train z = tanh(z W + x U) with a linear head by exact gradients; return W and x U of each stage."""
    rng = np.random.default_rng(5)
    x, sign = spirals(SAMPLES)
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    W = 0.8 * rng.standard_normal((UNITS, UNITS)) / np.sqrt(UNITS)
    U = 2 * rng.standard_normal((3, UNITS))
    head = rng.standard_normal(UNITS) / np.sqrt(UNITS)
    kept, velocity = {}, [np.zeros_like(each) for each in (W, U, head)]
    for step in range(STEPS + 1):
        if step in STAGES:
            kept[step] = (W.copy(), x @ U)
        z = _fixed_points(W, x @ U)
        error = (np.tanh(z @ head) - sign) / len(x)
        slope = error * (1 - np.tanh(z @ head) ** 2)
        D = 1 - z * z
        # (I − D W')ᵀ λ = ∂loss/∂z for each sample, with rows z: dz (I − W D) = dx U D.
        A = np.eye(UNITS) - W[None] * D[:, None, :]
        cotangent = np.linalg.solve(A, (slope[:, None] * head)[:, :, None])[:, :, 0] * D
        gradients = (z.T @ cotangent, x.T @ cotangent, z.T @ slope)
        velocity = [0.9 * v - RATE * g for v, g in zip(velocity, gradients, strict=True)]
        W, U, head = W + velocity[0], U + velocity[1], head + velocity[2]
    return kept


def _fixed_points(W: np.ndarray, u: np.ndarray) -> np.ndarray:
    z = np.tanh(u)
    for _ in range(500):
        z = 0.5 * z + 0.5 * np.tanh(z @ W + u)
    return z
