"""Jacobians as matrices, and linear systems with them that may be singular."""

from __future__ import annotations

import numpy as np

from equilib.arrays import (
    Array,
    array_namespace,
    coefficients,
    samples_as_rows,
    to_host,
    two_norm,
    where_samples,
)
from equilib.problem import Linearization


def dense_jacobian(linear: Linearization) -> Array:
    """Return J for each sample, shape (batch, size, size): one product with a unit vector for each column.

    The unit vector is the same in all samples, so the batch shares a product.
    """
    xp = array_namespace(linear.value)
    rows = samples_as_rows(linear.value)
    units = np.eye(rows.shape[1])
    columns = []
    for unit in units:
        tangent = coefficients(np.broadcast_to(unit, rows.shape), linear.value)
        columns.append(samples_as_rows(linear.jvp(xp.reshape(tangent, linear.value.shape))))
    return xp.stack(columns, axis=2)


def solve_dense(matrix: Array, b: Array, active: np.ndarray) -> Array:
    """Solve A x = b by LU for each active sample; by least squares of least norm where A is singular as far as seen.

    Parameters
    ----------
    matrix : array, shape (batch, size, size)
    b : array, shape (batch, ...)

    Returns
    -------
    array, shape (batch, ...)
        Zeros for samples that are not active or whose system is not finite.
    """
    xp = array_namespace(b)
    rhs = samples_as_rows(b)[:, :, None]
    size = to_host(xp.stack((two_norm(matrix), two_norm(b)))).astype(np.float64)
    usable = active & np.isfinite(size).all(axis=0)
    identity = coefficients(np.broadcast_to(np.eye(rhs.shape[1]), matrix.shape), matrix)
    matrix = where_samples(usable, matrix, identity)
    rhs = where_samples(usable, rhs, xp.zeros_like(rhs))
    x = _factorized(matrix, rhs)
    length = to_host(two_norm(x)).astype(np.float64)
    # LU is backward stable: its residual is of the order of eps·‖A‖‖x‖. Where that is as large as b, A is singular.
    eps = float(xp.finfo(b.dtype).eps)
    lost = usable & ~(10 * eps * size[0] * length <= 0.1 * size[1])
    if lost.any():
        x = where_samples(lost, xp.matmul(xp.linalg.pinv(where_samples(lost, matrix, identity)), rhs), x)
    return xp.reshape(x, b.shape)


def _factorized(matrix: Array, rhs: Array) -> Array:
    """Solve by LU; nan for a sample that is exactly singular."""
    xp = array_namespace(rhs)
    singular = (np.linalg.LinAlgError, RuntimeError)  # NumPy's error, and PyTorch's base class of its own
    try:
        return xp.linalg.solve(matrix, rhs)
    except singular:
        if matrix.shape[0] == 1:
            return xp.full_like(rhs, xp.nan)
    # One singular sample fails the batch: the others are solved by themselves, with the same bits.
    return xp.concat([_factorized(matrix[i : i + 1, ...], rhs[i : i + 1, ...]) for i in range(rhs.shape[0])])
