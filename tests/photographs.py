"""CIFAR-10's binary files with made-up photographs: ten colour patterns that a network can learn, and noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIDE = 32


def batch(count: int, seed: int = 0) -> bytes:
    """Return the content of a file with so many images, the same for the same numbers."""
    rng = np.random.default_rng(seed)
    patterns = np.kron(np.random.default_rng(0).integers(0, 2, (10, 3, 8, 8)), np.ones((4, 4)))
    labels = rng.integers(0, 10, count)
    planes = (200 * patterns[labels] + 55 * rng.random((count, 3, SIDE, SIDE))).astype(np.uint8)
    return np.concatenate([labels.astype(np.uint8)[:, None], planes.reshape(count, -1)], axis=1).tobytes()


def write_photographs(folder: Path, *, train: int = 40, test: int = 10) -> Path:
    """Write one training file and the test file; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data_batch_1.bin").write_bytes(batch(train, seed=1))
    (folder / "test_batch.bin").write_bytes(batch(test, seed=2))
    return folder
