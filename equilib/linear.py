"""Linear equations without a matrix: batched GMRES, and the solver for affine fixed points built on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from equilib.arrays import (
    Array,
    array_namespace,
    coefficients,
    rows_like,
    samples_as_rows,
    to_host,
    two_norm,
    where_samples,
)
from equilib.checks import check_options
from equilib.hessenberg import HessenbergLeastSquares
from equilib.options import option
from equilib.problem import FixedPointProblem, Linearization
from equilib.protocols import LinearSolver, MatVec
from equilib.spans import combined
from equilib.workers import by_shares, shared

SHARE = 0.9
"""Share of the tolerance that is asked of a linear solver; the rest is for rounding, and for a tolerance relative to
‖z‖, which the step changes. On the adjoints of the MNIST tutorial a half, which Kelley (1995, eq. 6.20) takes for
Newton's method, costs 0.6 products of 7.4 more, and this share no second cycle."""
ROUNDING = 1000.0
"""Rounding errors of a residual, in units of eps·‖z‖, at most: those of all products of some cycles."""


@dataclass(frozen=True)
class GMRES:
    """One cycle of GMRES for each sample by itself (Saad & Schultz 1986, algorithm 3).

    The equations of a batch do not mix, so each sample gets its own Krylov space and stops at its own tolerance;
    a product with A is shared by all. Products are orthogonalized by modified Gram-Schmidt.

    Raises
    ------
    ValueError
        If `restart` is not positive.
    """

    restart: int = option(20, help="dimension of the Krylov space", minimum=1)

    def __post_init__(self) -> None:
        check_options(self)

    def solve(self, matvec: MatVec, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Reduce the residual of sample i to rtol[i]·‖b‖, as far as `restart` products allow.

        Arguments and result as in `LinearSolver.solve`.
        """
        cycle = self._cycle(matvec, b, rtol, active)
        return _combine(cycle.weights, cycle.basis, b)

    def solve_with_residual(
        self, matvec: MatVec, b: Array, *, rtol: np.ndarray, active: np.ndarray
    ) -> tuple[Array, Array]:
        """Return what `solve` does, and b − A x without a further product.

        With the basis V and the Hessenberg matrix H, A V = V H holds to rounding even where V has lost its
        orthogonality (Saad 2003, §6.5), so that b − A V y = V (β e₁ − H y).
        """
        cycle = self._cycle(matvec, b, rtol, active)
        left = np.zeros((b.shape[0], len(cycle.basis)))
        left[:, 0] = cycle.norm
        for j, column in enumerate(cycle.columns):
            left[:, : j + 2] -= cycle.weights[:, j : j + 1] * column
        return _combine(cycle.weights, cycle.basis, b), where_samples(cycle.norm > 0, _combine(left, cycle.basis, b), b)

    def _cycle(self, matvec: MatVec, b: Array, rtol: np.ndarray, active: np.ndarray) -> _Cycle:
        norm = to_host(two_norm(b)).astype(np.float64)
        running = active & np.isfinite(norm) & (norm > 0)
        basis, columns = [_normalized(b, norm, running)], []
        # What is left of a vector is rounding when it is this much smaller than the vector.
        precision = 10 * float(array_namespace(b).finfo(b.dtype).eps)
        solved = np.where(running, norm, 0.0)
        small = HessenbergLeastSquares(solved, self.restart, precision)
        while running.any() and small.size < self.restart:
            column, new = _extend(basis, matvec(basis[-1]))
            size = np.linalg.norm(column, axis=1)
            running = running & np.isfinite(size)
            columns.append(np.where(running[:, None], column, 0.0))
            residual = small.append(column, running)
            # The vector is part of the residual of a sample that ends here.
            running = running & (column[:, -1] > precision * size)
            basis.append(_normalized(new, column[:, -1], running))
            running = running & (residual > np.maximum(rtol, precision) * norm)
        return _Cycle(basis, columns, small.solve(), solved)


@dataclass(frozen=True)
class _Cycle:
    """A V = V H of one cycle, and the y of least ‖β e₁ − H y‖.

    `basis` are the columns of V, `columns` those of H, of shape (batch, 2), (batch, 3), ...; `weights` is y; `norm` is
    β, zero for samples that are not solved.
    """

    basis: list[Array]
    columns: list[np.ndarray]
    weights: np.ndarray
    norm: np.ndarray


@runtime_checkable
class GivesResidual(Protocol):
    """**Protocol:** a linear solver that knows its residual without a further product."""

    def solve_with_residual(
        self, matvec: MatVec, b: Array, *, rtol: np.ndarray, active: np.ndarray
    ) -> tuple[Array, Array]:
        """Return x as `LinearSolver.solve` does, and b − A x; b where x is zero, whatever b holds there."""


def _extend(basis: list[Array], product: Array) -> tuple[np.ndarray, Array]:
    """Orthogonalize a product against the basis; return the column of the Hessenberg matrix and the rest."""
    if type(product) is np.ndarray and shared(2 * len(basis) * product.size):
        parts = by_shares(
            lambda first, last: _orthogonalized([vector[first:last] for vector in basis], product[first:last]),
            len(product),
            numbers=2 * len(basis) * product.size,
        )
        columns, rests = zip(*parts, strict=True)
        return np.concatenate(columns).astype(np.float64), np.concatenate(rests)
    column, rest = _orthogonalized(basis, product)
    return to_host(column).astype(np.float64), rest


def _orthogonalized(basis: list[Array], product: Array) -> tuple[Array, Array]:
    xp = array_namespace(product)
    column = []
    for vector in basis:
        overlap = xp.vecdot(samples_as_rows(vector), samples_as_rows(product))
        product = product - rows_like(overlap, product) * vector
        column.append(overlap)
    column.append(two_norm(product))
    return xp.stack(column, axis=1), product


def _normalized(vector: Array, norm: np.ndarray, mask: np.ndarray) -> Array:
    """Divide each sample by its norm; samples outside `mask` become zero even where they are not finite."""
    factor = 1 / np.where(mask, norm, 1.0)
    scaled = rows_like(coefficients(factor, vector), vector) * vector
    return where_samples(mask, scaled, array_namespace(vector).zeros_like(vector))


def _combine(weights: np.ndarray, basis: list[Array], like: Array) -> Array:
    return combined(array_namespace(like).zeros_like(like), coefficients(weights, like), basis[: weights.shape[1]])


@dataclass(frozen=True)
class AffineState:
    """An iterate of an affine problem, its residual, and the one linearization there is."""

    z: Array
    residual: Array
    linear: Linearization = field(repr=False)


@dataclass(frozen=True)
class Affine:
    """Solver for affine f: one step solves (I − J) d = f(z) − z and adds d to z.

    It is what implicit adjoints run on: w = Jᵀw + g is affine in w. A step ends where the linear solver stops,
    so a further step is a restart; the driver checks the true residual. Where f is `known` to be affine, what a linear
    solver says about its residual is true, and the evaluation that would confirm it is saved.
    """

    linear_solver: LinearSolver = field(default_factory=GMRES)
    known: bool = False

    def init(self, problem: FixedPointProblem, z0: Array) -> AffineState:
        """Linearize f, once and for all."""
        linear = problem.linearize(z0)
        return AffineState(z0, linear.value - z0, linear)

    def step(self, problem: FixedPointProblem, state: AffineState) -> AffineState:
        """Solve for the step, to most of what is missing to the tolerance."""
        assert problem.active is not None  # set by the driver

        def matvec(v: Array) -> Array:
            return v - state.linear.jvp(v)

        norm = residual_norm(problem, state.residual)
        rtol = SHARE * relative_target(problem, norm)
        if self.known and isinstance(self.linear_solver, GivesResidual) and _clear_of_rounding(problem, state.z, norm):
            step, residual = self.linear_solver.solve_with_residual(
                matvec, state.residual, rtol=rtol, active=problem.active
            )
            return AffineState(state.z + step, residual, state.linear)
        z = state.z + self.linear_solver.solve(matvec, state.residual, rtol=rtol, active=problem.active)
        return AffineState(z, problem.residual(z), state.linear)


def _clear_of_rounding(problem: FixedPointProblem, z: Array, residual: np.ndarray) -> bool:
    """Tell whether the tolerance of each active sample is far above the rounding errors of an unevaluated residual."""
    assert problem.tolerance is not None  # set by the driver
    size = np.maximum(residual_norm(problem, z), residual)
    clear = problem.tolerance > ROUNDING * float(array_namespace(z).finfo(z.dtype).eps) * size
    return bool(np.all(clear[problem.active]))


def residual_norm(problem: FixedPointProblem, residual: Array) -> np.ndarray:
    """Return each sample's norm of a residual, in the driver's norm, on the host, shape (batch,)."""
    assert problem.norm is not None  # set by the driver
    return to_host(problem.norm(residual)).astype(np.float64)


def relative_target(problem: FixedPointProblem, norm: np.ndarray) -> np.ndarray:
    """Return the factor by which residuals of these norms must shrink to reach the driver's tolerance."""
    assert problem.tolerance is not None  # set by the driver
    return np.minimum(problem.tolerance / np.where(norm > 0, norm, 1.0), 1.0)
