"""Mini-batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def shuffled_batches(count: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the indices of an epoch in random order, `size` at a time; the last batch may be smaller."""
    order = rng.permutation(count)
    for start in range(0, count, size):
        yield order[start : start + size]


def batch_count(count: int, size: int) -> int:
    """Return the number of batches in an epoch."""
    return -(-count // size)
