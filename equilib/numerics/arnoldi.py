"""Arnoldi's method for the samples of a batch: the small matrices that stand for large ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib.arrays import (
    Array,
    array_namespace,
    coefficients,
    dot,
    host_norm,
    only_samples,
    samples_as_rows,
    scaled,
    to_host,
    two_norm,
    units,
)
from equilib.kernels import operation
from equilib.numerics.linear_solver import MatVec


@dataclass(frozen=True, kw_only=True)
class Compression:
    """A linear map on the Krylov space of one sample: A V = V H + rest·v eᵀ, with orthonormal V and v.

    `matrix` is H = VᵀAV, shape (size, size), and `rest` how far A leads out of the space: 0 where that is invariant, up
    to rounding. Where not every product was `finite`, `matrix` holds those before one that was not.
    """

    matrix: np.ndarray
    rest: float
    finite: bool


def random_start(like: Array, rng: np.random.Generator) -> Array:
    """Return normal random numbers of the shape, dtype and library of `like`: no direction is preferred."""
    return coefficients(rng.standard_normal(tuple(like.shape)), like)


def compress(matvec: MatVec, start: Array, dimension: int) -> tuple[Compression, ...]:
    """Build each sample's Krylov space from `start`, shape (batch, ...), and compress the map to it.

    A sample ends where its space is invariant, and at the latest after `dimension` products, which all samples
    share. Vectors are orthogonalized twice, since Ritz values suffer where orthogonality is lost (Parlett 1998,
    §6.9).

    Raises ValueError if `dimension` is not positive.
    """
    if dimension < 1:
        raise ValueError(f"dimension must be positive, got {dimension}")
    batch, size = samples_as_rows(start).shape
    dimension = min(dimension, size)
    # What is left of a vector is rounding when it is this much smaller than the vector.
    precision = 10 * float(array_namespace(start).finfo(start.dtype).eps)
    matrices = np.zeros((batch, dimension + 1, dimension))
    columns, rest = np.zeros(batch, dtype=int), np.zeros(batch)
    running, finite = np.ones(batch, dtype=bool), np.ones(batch, dtype=bool)
    basis = [normalized(start, host_norm(start), running)]
    for j in range(dimension):
        first, vector = orthogonalized(basis, matvec(basis[-1]))
        second, vector = orthogonalized(basis, vector)
        column = to_host(second).astype(np.float64)
        column[:, :-1] += to_host(first).astype(np.float64)[:, :-1]
        finite &= np.isfinite(column).all(axis=1)
        running &= finite
        matrices[running, : j + 2, j] = column[running]
        columns += running
        running &= (column[:, -1] > precision * np.linalg.norm(column, axis=1)) & (columns < size)
        rest = np.where(running, column[:, -1], 0.0)
        if not running.any():
            break
        basis.append(normalized(vector, column[:, -1], running))
    return tuple(
        Compression(matrix=each[:k, :k], rest=float(outside), finite=bool(fine))
        for each, k, outside, fine in zip(matrices, columns, rest, finite, strict=True)
    )


@operation("orthogonalized", leading=lambda basis, product: product)
def orthogonalized(basis: list[Array], product: Array) -> tuple[Array, Array]:
    """Take a product's components along the basis away, one after the other (modified Gram-Schmidt).

    Returns the components with the norm of the rest behind them, shape (batch, len(basis) + 1), and the rest.
    """
    xp, rows, column = array_namespace(product), samples_as_rows(product), []
    for vector in basis:
        direction = samples_as_rows(vector)
        overlap = dot(direction, rows)
        factor = overlap if overlap.dtype == rows.dtype else xp.astype(overlap, rows.dtype)
        rows = rows - factor[:, None] * direction
        column.append(overlap)
    column.append(two_norm(rows))
    # NumPy's stack costs as much as several products of small vectors.
    together = np.array(column).T.copy() if xp is np else xp.stack(column, axis=1)
    return together, rows if product.ndim == 2 else xp.reshape(rows, product.shape)


def normalized(vector: Array, norm: np.ndarray, mask: np.ndarray) -> Array:
    """Divide samples, shape (batch, ...), by their norms; those outside `mask` become zero even where not finite."""
    size = np.where(mask & (norm > 0), norm, 1.0)
    unit = units(size, vector)  # whose inverse is finite where that of the norm is not
    if unit is not None:
        size, vector = size / unit, scaled(vector, 1 / unit)
    return only_samples(mask, scaled(vector, 1 / size))
