"""Batched GMRES: linear equations without a matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib.arrays import (
    Array,
    array_namespace,
    host_norm,
    only_samples,
    to_host,
    where_samples,
    zeros_like,
)
from equilib.numerics.arnoldi import normalized, orthogonalized
from equilib.numerics.combinations import combined
from equilib.numerics.hessenberg import HessenbergLeastSquares
from equilib.numerics.linear_solver import MatVec
from equilib.options import Checked, option


@dataclass(frozen=True)
class GMRES(Checked):
    """One cycle of GMRES for each sample by itself (Saad & Schultz 1986, algorithm 3).

    The equations of a batch do not mix, so each sample gets its own Krylov space and stops at its own tolerance;
    a product with A is shared by all. Products are orthogonalized by modified Gram-Schmidt.
    """

    restart: int = option(20, help="restart GMRES after so many products", minimum=1)

    def solve(self, matvec: MatVec, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Return x, shape (batch, ...), with ‖b − A x‖ ≤ rtol[i]·‖b‖, as far as `restart` products allow.

        Arguments and result as in `LinearSolver.solve`.
        """
        cycle = self._cycle(matvec, b, rtol, active)
        return _combine(cycle.weights, cycle.basis, b)

    def solve_with_residual(
        self, matvec: MatVec, b: Array, *, rtol: np.ndarray, active: np.ndarray
    ) -> tuple[Array, Array]:
        """Return x as `solve` does, and b − A x, shape (batch, ...), without a further product.

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
        norm = host_norm(b)
        running = active & np.isfinite(norm) & (norm > 0)
        basis, columns = [normalized(b, norm, running)], []
        # What is left of a vector is rounding when it is this much smaller than the vector.
        precision = 10 * float(array_namespace(b).finfo(b.dtype).eps)
        solved = np.where(running, norm, 0.0)
        small = HessenbergLeastSquares(solved, self.restart, precision)
        while np.count_nonzero(running) and small.size < self.restart:
            column, new = _extend(basis, matvec(only_samples(running, basis[-1])))
            size = host_norm(column)
            running = running & np.isfinite(size)
            columns.append(np.where(running[:, None], column, 0.0))
            residual = small.append(column, size, running)
            # The vector is part of the residual of a sample that ends here.
            running = running & (column[:, -1] > precision * size)
            basis.append(normalized(new, column[:, -1], running))
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


def _extend(basis: list[Array], product: Array) -> tuple[np.ndarray, Array]:
    """Orthogonalize a product against the basis; return the column of the Hessenberg matrix and the rest."""
    column, rest = orthogonalized(basis, product)
    return to_host(column).astype(np.float64), rest


def _combine(weights: np.ndarray, basis: list[Array], like: Array) -> Array:
    count = weights.shape[1]
    return combined(None, weights, basis[:count]) if count else zeros_like(like)
