"""Digests of the data that runs are trained on."""

from __future__ import annotations

import hashlib

import numpy as np

from equilib.arrays import to_host
from equilib.training.data import Dataset


def data_digest(data: Dataset) -> str:
    """Return a digest of all inputs and targets, their types and their order."""
    digest = hashlib.blake2b(digest_size=16)
    for name, values in data.arrays().items():
        array = np.ascontiguousarray(to_host(values))
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.data)
    return digest.hexdigest()
