"""Random matrices of a batch of maps, one for each sample."""

from __future__ import annotations

import numpy as np


def times(z: np.ndarray, M: np.ndarray) -> np.ndarray:
    """Return z M for each sample: z of shape (batch, m), M of shape (batch, m, n)."""
    return (z[:, None, :] @ M)[:, 0, :]


def directions(rng: np.random.Generator, batch: int, n: int) -> np.ndarray:
    """Draw orthogonal matrices, shape (batch, n, n)."""
    Q, R = np.linalg.qr(rng.standard_normal((batch, n, n)))
    return Q * np.sign(np.diagonal(R, axis1=1, axis2=2))[:, None, :]


def rotations(angles: np.ndarray) -> np.ndarray:
    """Return rotations of pairs of coordinates by angles of shape (batch, pairs)."""
    batch, pairs = angles.shape
    M = np.zeros((batch, 2 * pairs, 2 * pairs))
    for k in range(pairs):
        cosine, sine = np.cos(angles[:, k]), np.sin(angles[:, k])
        M[:, 2 * k, 2 * k] = M[:, 2 * k + 1, 2 * k + 1] = cosine
        M[:, 2 * k, 2 * k + 1], M[:, 2 * k + 1, 2 * k] = sine, -sine
    return M


def symmetric(rng: np.random.Generator, eigenvalues: np.ndarray) -> np.ndarray:
    """Draw symmetric matrices with the given eigenvalues, shape (batch, n)."""
    Q = directions(rng, *eigenvalues.shape)
    return Q @ (eigenvalues[:, :, None] * np.swapaxes(Q, 1, 2))
