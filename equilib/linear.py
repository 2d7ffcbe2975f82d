"""Linear equations without a matrix: batched GMRES, and the solver for affine fixed points built on it."""

from __future__ import annotations

from dataclasses import dataclass, field

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
        norm = to_host(two_norm(b)).astype(np.float64)
        running = active & np.isfinite(norm) & (norm > 0)
        basis = [_normalized(b, norm, running)]
        # What is left of a vector is rounding when it is this much smaller than the vector.
        precision = 10 * float(array_namespace(b).finfo(b.dtype).eps)
        small = HessenbergLeastSquares(np.where(running, norm, 0.0), self.restart, precision)
        while running.any() and small.size < self.restart:
            column, new = _extend(basis, matvec(basis[-1]))
            size = np.linalg.norm(column, axis=1)
            running = running & np.isfinite(size)
            residual = small.append(column, running)
            running = running & (residual > np.maximum(rtol, precision) * norm) & (column[:, -1] > precision * size)
            basis.append(_normalized(new, column[:, -1], running))
        return _combine(small.solve(), basis, b)


def _extend(basis: list[Array], product: Array) -> tuple[np.ndarray, Array]:
    """Orthogonalize a product against the basis; return the column of the Hessenberg matrix and the rest."""
    xp = array_namespace(product)
    column = []
    for vector in basis:
        overlap = xp.vecdot(samples_as_rows(vector), samples_as_rows(product))
        product = product - rows_like(overlap, product) * vector
        column.append(overlap)
    column.append(two_norm(product))
    return to_host(xp.stack(column, axis=1)).astype(np.float64), product


def _normalized(vector: Array, norm: np.ndarray, mask: np.ndarray) -> Array:
    """Divide each sample by its norm; samples outside `mask` become zero even where they are not finite."""
    factor = 1 / np.where(mask, norm, 1.0)
    scaled = rows_like(coefficients(factor, vector), vector) * vector
    return where_samples(mask, scaled, array_namespace(vector).zeros_like(vector))


def _combine(weights: np.ndarray, basis: list[Array], like: Array) -> Array:
    total = array_namespace(like).zeros_like(like)
    for j in range(weights.shape[1]):
        total = total + rows_like(coefficients(weights[:, j], like), like) * basis[j]
    return total


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
    so a further step is a restart; the driver checks the true residual.
    """

    linear_solver: LinearSolver = field(default_factory=GMRES)

    def init(self, problem: FixedPointProblem, z0: Array) -> AffineState:
        """Linearize f, once and for all."""
        linear = problem.linearize(z0)
        return AffineState(z0, linear.value - z0, linear)

    def step(self, problem: FixedPointProblem, state: AffineState) -> AffineState:
        """Solve for the step, to half of what is missing to the tolerance."""
        assert problem.active is not None  # set by the driver
        rtol = 0.5 * relative_target(problem, residual_norm(problem, state.residual))
        step = self.linear_solver.solve(
            lambda v: v - state.linear.jvp(v), state.residual, rtol=rtol, active=problem.active
        )
        z = state.z + step
        return AffineState(z, problem.residual(z), state.linear)


def residual_norm(problem: FixedPointProblem, residual: Array) -> np.ndarray:
    """Return each sample's norm of a residual, in the driver's norm, on the host, shape (batch,)."""
    assert problem.norm is not None  # set by the driver
    return to_host(problem.norm(residual)).astype(np.float64)


def relative_target(problem: FixedPointProblem, norm: np.ndarray) -> np.ndarray:
    """Return the factor by which residuals of these norms must shrink to reach the driver's tolerance."""
    assert problem.tolerance is not None  # set by the driver
    return np.minimum(problem.tolerance / np.where(norm > 0, norm, 1.0), 1.0)
