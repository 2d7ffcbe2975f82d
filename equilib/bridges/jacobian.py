"""Dense Jacobians of f(z) − z for the samples of a batch, column by column."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from equilib.arrays import Array, from_host, samples_as_rows, to_host
from equilib.problem import FixedPointProblem

JACOBIANS = ("exact", "difference")
"""By products J·v, or by difference quotients; either costs one product, or evaluation, per column for the batch."""


def dense_jacobians(problem: FixedPointProblem, z: Array, kind: str) -> np.ndarray:
    """Return J − I for each sample, float64, shape (batch, size, size); `kind` is one of `JACOBIANS`."""
    batch, size = samples_as_rows(z).shape
    columns = _products(problem, z) if kind == "exact" else _quotients(problem, z)
    jacobians = np.empty((batch, size, size))
    for index, column in enumerate(columns):
        jacobians[:, :, index] = column
    return jacobians - np.eye(size)


def _products(problem: FixedPointProblem, z: Array) -> Iterator[np.ndarray]:
    jvp: Callable[[Array], Array] = problem.linearize(z).jvp
    unit = np.zeros(samples_as_rows(z).shape, dtype=to_host(z).dtype)
    for index in range(unit.shape[1]):
        unit[:, index] = 1
        # A copy: on some libraries from_host shares memory with what is overwritten next.
        yield _host_rows(jvp(_like(unit.copy(), z)))
        unit[:, index] = 0


def _quotients(problem: FixedPointProblem, z: Array) -> Iterator[np.ndarray]:
    value = _host_rows(problem(z))
    host = to_host(samples_as_rows(z))
    width = np.sqrt(np.finfo(host.dtype).eps)
    for index in range(host.shape[1]):
        moved = host.copy()
        moved[:, index] += width * np.maximum(np.abs(host[:, index]), 1)
        # What the number format made of the width, not what was wanted (Dennis & Schnabel 1996, §5.4).
        step = (moved[:, index] - host[:, index]).astype(np.float64)
        yield (_host_rows(problem(_like(moved, z))) - value) / step[:, None]


def _host_rows(array: Array) -> np.ndarray:
    return np.asarray(to_host(samples_as_rows(array)), dtype=np.float64)


def _like(rows: np.ndarray, z: Array) -> Array:
    return from_host(rows.reshape(tuple(z.shape)), z)
