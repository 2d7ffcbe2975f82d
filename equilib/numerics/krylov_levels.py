"""Krylov spaces that grow where a Newton step needs them to, for each sample by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from equilib.arrays import Array, samples_as_rows, where_samples, zeros_like
from equilib.numerics.linear_solver import LinearSolver, MatVec

GROWTH = 4
"""Growth of the Krylov space from one level to the next."""

HALVED = 0.5
"""Reduction of the residual by a step below which the next one may take a larger Krylov space: where the linear solver
does what it was asked for, a larger space costs nothing."""


def solve_at_levels(
    solver: LinearSolver, matvec: MatVec, b: Array, *, rtol: np.ndarray, active: np.ndarray, level: np.ndarray
) -> Array:
    """Solve as `LinearSolver.solve` does, each sample with its level's Krylov space, `GROWTH`^level times as large.

    The levels are an ndarray of int, shape (batch,).
    """
    if not np.count_nonzero(level):
        return solver.solve(matvec, b, rtol=rtol, active=active)
    x = zeros_like(b)
    for each in np.unique(level[active]):
        chosen = active & (level == each)
        x = where_samples(chosen, _at_level(solver, each, b).solve(matvec, b, rtol=rtol, active=chosen), x)
    return x


def may_grow(solver: LinearSolver, level: np.ndarray, b: Array) -> np.ndarray:
    """Tell whose Krylov space is smaller than the state: bool, shape (batch,)."""
    return np.asarray(_dimension(solver, b) * GROWTH**level < samples_as_rows(b).shape[1])


def _dimension(solver: LinearSolver, b: Array) -> int:
    """Return the `restart` of the solver, the size of the state where it has no such option."""
    return int(getattr(solver, "restart", samples_as_rows(b).shape[1]))


def _at_level(solver: LinearSolver, level: int, b: Array) -> LinearSolver:
    size, dimension = samples_as_rows(b).shape[1], _dimension(solver, b)
    if level == 0 or dimension >= size:
        return solver
    return replace(solver, restart=min(dimension * GROWTH ** int(level), size))  # type: ignore[type-var]
