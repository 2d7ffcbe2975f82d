"""Dense Jacobians of small states, and linear systems with them that may be singular."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equilib.arrays import (
    Array,
    array_namespace,
    coefficients,
    host_norm,
    in_single,
    samples_as_rows,
    to_host,
    two_norm,
    where_samples,
)
from equilib.errors import UserError
from equilib.fixed_points.linearization import Linearization


class StateTooLargeError(UserError, ValueError):
    """A method that keeps a matrix for each sample was given states that are too large for it."""


def require_small(size: int, largest: int, *, solver: str, instead: str) -> None:
    """Refuse samples of more than `largest` elements, before their matrices fill the memory.

    Raises StateTooLargeError if they are; it names the `solver` and what to take `instead`.
    """
    if size > largest:
        raise StateTooLargeError(
            f"{solver} keeps a {size}×{size} matrix for each sample, more than its option largest={largest} allows; "
            f"take {instead}, or raise largest"
        )


def dense_jacobian(linear: Linearization) -> Array:
    """Return J for each sample, shape (batch, size, size): one product with a unit vector for each column.

    The unit vector is the same in all samples, so the batch shares a product.
    """
    xp = array_namespace(linear.value)
    rows = samples_as_rows(linear.value)
    columns = []
    for unit in np.eye(rows.shape[1]):
        tangent = coefficients(np.tile(unit, (rows.shape[0], 1)), linear.value)
        columns.append(samples_as_rows(linear.jvp(xp.reshape(tangent, linear.value.shape))))
    return xp.stack(columns, axis=2)


def identity_like(matrix: Array) -> Array:
    """Return the identity for each sample, in the shape (batch, size, size), dtype and place of `matrix`."""
    return coefficients(np.tile(np.eye(matrix.shape[1]), (matrix.shape[0], 1, 1)), matrix)


def solve_dense(matrix: Array, b: Array, active: np.ndarray) -> Array:
    """Solve A x = b by LU for each active sample; where A is singular, find the shortest x of least ‖b − A x‖.

    A has the shape (batch, size, size), b and x have (batch, ...); x is zero for samples that are not active or whose
    system is not finite.
    """
    return array_namespace(b).reshape(_solve(matrix, samples_as_rows(b)[:, :, None], active), b.shape)


def invert_dense(matrix: Array, active: np.ndarray) -> Array:
    """Return A⁻¹, shape (batch, size, size), the pseudo-inverse where A is singular; zeros where A is not finite."""
    return _solve(matrix, identity_like(matrix), active)


def _solve(matrix: Array, rhs: Array, active: np.ndarray) -> Array:
    xp, dtype = array_namespace(rhs), rhs.dtype
    matrix, rhs = in_single(matrix), in_single(rhs)  # which nobody factorizes in half precision
    size = to_host(xp.stack((two_norm(matrix), two_norm(rhs)))).astype(np.float64)
    usable = active & np.isfinite(size).all(axis=0)
    identity = identity_like(matrix)
    matrix, rhs = where_samples(usable, matrix, identity), where_samples(usable, rhs, xp.zeros_like(rhs))
    x = _factorized(matrix, rhs)
    length = host_norm(x)
    # LU is backward stable: its residual is of the order of eps·‖A‖‖x‖. Where that is as large as b, A is singular.
    eps = float(xp.finfo(rhs.dtype).eps)
    singular = usable & ~(10 * eps * size[0] * length <= 0.1 * size[1])
    if singular.any():
        x = where_samples(singular, xp.matmul(xp.linalg.pinv(where_samples(singular, matrix, identity)), rhs), x)
    return xp.astype(x, dtype, copy=False)


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


JACOBIANS = ("exact", "difference")
"""By products J·v, or by difference quotients; either costs one product, or evaluation, per column."""


def difference_jacobian(
    f: Callable[[np.ndarray], np.ndarray], z: np.ndarray, resolution: float, least: float | np.ndarray = 1.0
) -> np.ndarray:
    """Return ∂f/∂z of one system, shape (size, size), by difference quotients: size + 1 evaluations.

    f maps arrays of float64, shape (size,), to such; `resolution` is the relative spacing of the numbers that it is
    computed in, and smaller elements than `least` are moved as that is.
    """
    value = f(z)
    columns = []
    for index, width in enumerate(np.sqrt(resolution) * np.maximum(np.abs(z), least)):
        moved = np.array(z)
        moved[index] += width
        # What the number format made of the width, not what was wanted (Dennis & Schnabel 1996, §5.4).
        columns.append((f(moved) - value) / (moved[index] - z[index]))
    return np.stack(columns, axis=1)
