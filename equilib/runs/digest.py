"""Which data a run was trained on."""

from __future__ import annotations

import hashlib
from dataclasses import fields

import numpy as np

from equilib.arrays import to_host
from equilib.training.plan import Dataset


def data_digest(data: Dataset) -> str:
    """Return a digest of all inputs and targets, their types and their order."""
    digest = hashlib.blake2b(digest_size=16)
    for field in fields(data):
        array = np.ascontiguousarray(to_host(getattr(data, field.name)))
        digest.update(f"{field.name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.data)
    return digest.hexdigest()
