"""MNIST's four files with made-up digits: ten patterns that a network can learn, and noise."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from equilib_experiments.data.mnist import TEST, TRAIN


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write an array of bytes as gzipped IDX."""
    content = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content, compresslevel=1, mtime=0))


def write_digits(folder: Path, *, train: int = 120, test: int = 30) -> Path:
    """Write the files, always the same for the same numbers of images; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    patterns = np.kron(rng.integers(0, 2, (10, 7, 7)), np.ones((4, 4)))
    for (images, labels), count in ((TRAIN, train), (TEST, test)):
        classes = rng.integers(0, 10, count)
        ink = 200 * patterns[classes] + 55 * rng.random((count, 28, 28))
        write_idx(folder / images, ink.astype(np.uint8))
        write_idx(folder / labels, classes.astype(np.uint8))
    return folder
