"""Krylov spaces that grow where a Newton step needs them to, for each sample by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from equilib.arrays import Array, array_namespace, samples_as_rows, to_host, two_norm, where_samples, zeros_like
from equilib.numerics.linear_solver import LinearSolver, MatVec

GROWTH = 4
"""Growth of the Krylov space from one level to the next."""

HALVED = 0.5
"""Reduction of the residual by a step below which the next one may take a larger Krylov space: where the linear solver
does what it was asked for, a larger space costs nothing."""

LARGEST = 1000
"""Vectors of a Krylov space that has grown: as many as a state may have elements that `newton-dense` takes."""

IN_VAIN = 1000
"""Products in spaces that have grown after which, if no step has halved the residual, spaces are as small as at first:
the exact Newton step of the largest such state takes no more, and directions that are cut short descend as well."""


def solve_at_levels(
    solver: LinearSolver, matvec: MatVec, b: Array, *, rtol: np.ndarray, active: np.ndarray, level: np.ndarray
) -> tuple[Array, np.ndarray]:
    """Solve as `LinearSolver.solve` does, each sample with its level's Krylov space, `GROWTH`^level times as large.

    The levels are an ndarray of int, shape (batch,). Returns x, and which samples each product was for: bool, shape
    (products, batch); none are told where all levels are zero.
    """
    if not np.count_nonzero(level):
        return solver.solve(matvec, b, rtol=rtol, active=active), np.zeros((0, len(level)), dtype=bool)
    x, sizes = zeros_like(b), []

    def noted(v: Array) -> Array:
        sizes.append(two_norm(v))
        return matvec(v)

    for each in np.unique(level[active]):
        chosen = active & (level == each)
        x = where_samples(chosen, _at_level(solver, each, b).solve(noted, b, rtol=rtol, active=chosen), x)
    if not sizes:
        return x, np.zeros((0, len(level)), dtype=bool)
    return x, np.asarray((to_host(array_namespace(b).stack(sizes)) > 0) & active)


def may_grow(solver: LinearSolver, level: np.ndarray, b: Array) -> np.ndarray:
    """Tell whose Krylov space is smaller than the state, and may have more vectors: bool, shape (batch,)."""
    dimension, size = _dimension(solver, b) * GROWTH**level, samples_as_rows(b).shape[1]
    return np.asarray((dimension < size) & (np.minimum(GROWTH * dimension, size) <= LARGEST))


def _dimension(solver: LinearSolver, b: Array) -> int:
    """Return the `restart` of the solver, the size of the state where it has no such option."""
    return int(getattr(solver, "restart", samples_as_rows(b).shape[1]))


def _at_level(solver: LinearSolver, level: int, b: Array) -> LinearSolver:
    size, dimension = samples_as_rows(b).shape[1], _dimension(solver, b)
    if level == 0 or dimension >= size:
        return solver
    return replace(solver, restart=min(dimension * GROWTH ** int(level), size))  # type: ignore[type-var]
