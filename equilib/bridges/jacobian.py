"""Dense Jacobians of f(z) − z for the samples of a batch, on the host."""

from __future__ import annotations

import numpy as np

from equilib.arrays import Array, from_host, samples_as_rows, to_host
from equilib.dense import dense_jacobian
from equilib.problem import FixedPointProblem

JACOBIANS = ("exact", "difference")
"""By products J·v, or by difference quotients; either costs one product, or evaluation, per column for the batch."""


def dense_jacobians(problem: FixedPointProblem, z: Array, kind: str) -> np.ndarray:
    """Return J − I for each sample, float64, shape (batch, size, size); `kind` is one of `JACOBIANS`."""
    if kind == "exact":
        jacobians = to_host(dense_jacobian(problem.linearize(z))).astype(np.float64)
    else:
        jacobians = _quotients(problem, z)
    return np.asarray(jacobians - np.eye(jacobians.shape[1]))


def _quotients(problem: FixedPointProblem, z: Array) -> np.ndarray:
    value = _host_rows(problem(z))
    host = to_host(samples_as_rows(z))
    width = np.sqrt(np.finfo(host.dtype).eps)
    jacobians = np.empty((*host.shape, host.shape[1]))
    for index in range(host.shape[1]):
        moved = host.copy()
        moved[:, index] += width * np.maximum(np.abs(host[:, index]), 1)
        # What the number format made of the width, not what was wanted (Dennis & Schnabel 1996, §5.4).
        step = (moved[:, index] - host[:, index]).astype(np.float64)
        shifted = from_host(moved.reshape(tuple(z.shape)), z)
        jacobians[:, :, index] = (_host_rows(problem(shifted)) - value) / step[:, None]
    return jacobians


def _host_rows(array: Array) -> np.ndarray:
    return np.asarray(to_host(samples_as_rows(array)), dtype=np.float64)
