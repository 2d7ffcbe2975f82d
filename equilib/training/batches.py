"""Mini-batches of samples."""

from __future__ import annotations

import numpy as np


def shuffled(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the indices of the samples in the order of an epoch, shape (count,)."""
    return rng.permutation(count)


def batch_of(order: np.ndarray, size: int, index: int) -> np.ndarray:
    """Return the indices of batch `index`, counted from 0; the last batch of an epoch may be smaller."""
    return order[index * size : (index + 1) * size]


def batch_count(count: int, size: int) -> int:
    """Return the number of batches in an epoch."""
    return -(-count // size)
