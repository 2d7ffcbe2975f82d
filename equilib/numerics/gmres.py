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

MIXED = 1e-6
"""What a product has to leave in a sample without a vector, of which others have one of length 1, to mix the samples.
Of independent samples it is zero, in all arithmetic."""


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
    ) -> tuple[Array, Array | None]:
        """Return x as `solve` does, and b − A x, shape (batch, ...), without a further product.

        It is None, and x nothing that is solved, where products show that A mixes samples.

        With the basis V and the Hessenberg matrix H, A V = V H holds to rounding even where V has lost its
        orthogonality (Saad 2003, §6.5), so that b − A V y = V (β e₁ − H y).

        They do where a product is not zero for a sample that has ended, and so has a vector of zeros. Where all end
        with the same product, one more looks for it, in which every second sample has zeros.
        """
        cycle = self._cycle(matvec, b, rtol, active)
        x = _combine(cycle.weights, cycle.basis, b)
        if cycle.mixed or (cycle.doubtful and _mixes(matvec, cycle.basis[0])):
            return x, None
        left = np.zeros((b.shape[0], len(cycle.basis)))
        left[:, 0] = cycle.norm
        for j, column in enumerate(cycle.columns):
            left[:, : j + 2] -= cycle.weights[:, j : j + 1] * column
        return x, where_samples(cycle.norm > 0, _combine(left, cycle.basis, b), b)

    def _cycle(self, matvec: MatVec, b: Array, rtol: np.ndarray, active: np.ndarray) -> _Cycle:
        norm = host_norm(b)
        running = active & np.isfinite(norm) & (norm > 0)
        basis, columns = [normalized(b, norm, running)], []
        # What is left of a vector is rounding when it is this much smaller than the vector.
        precision = 10 * float(array_namespace(b).finfo(b.dtype).eps)
        solved = np.where(running, norm, 0.0)
        small = HessenbergLeastSquares(solved, self.restart, precision)
        several, apart, mixed = len(running) > 1, False, False
        while np.count_nonzero(running) and small.size < self.restart:
            column, new = _extend(basis, matvec(only_samples(running, basis[-1])))
            size = host_norm(column)
            if several and np.count_nonzero(running) < len(running):
                apart, mixed = True, mixed or bool(np.any(size[~running] > MIXED))
            running = running & np.isfinite(size)
            columns.append(np.where(running[:, None], column, 0.0))
            residual = small.append(column, size, running)
            # The vector is part of the residual of a sample that ends here.
            running = running & (column[:, -1] > precision * size)
            basis.append(normalized(new, column[:, -1], running))
            running = running & (residual > np.maximum(rtol, precision) * norm)
        doubtful = several and not apart and bool(columns) and not np.count_nonzero(running)
        return _Cycle(basis, columns, small.solve(), solved, mixed, doubtful)


@dataclass(frozen=True)
class _Cycle:
    """A V = V H of one cycle, and the y of least ‖β e₁ − H y‖.

    `basis` are the columns of V, `columns` those of H, of shape (batch, 2), (batch, 3), ...; `weights` is y; `norm` is
    β, zero for samples that are not solved. `mixed` tells that a product has shown that A mixes samples, `doubtful`
    that none could, because all samples ended with the same one.
    """

    basis: list[Array]
    columns: list[np.ndarray]
    weights: np.ndarray
    norm: np.ndarray
    mixed: bool
    doubtful: bool


def _extend(basis: list[Array], product: Array) -> tuple[np.ndarray, Array]:
    """Orthogonalize a product against the basis; return the column of the Hessenberg matrix and the rest."""
    column, rest = orthogonalized(basis, product)
    return to_host(column).astype(np.float64), rest


def _mixes(matvec: MatVec, vector: Array) -> bool:
    """Tell whether A takes something of every second sample of a vector, shape (batch, ...), to the others."""
    taken = np.arange(vector.shape[0]) % 2 == 0
    return bool(np.any(host_norm(matvec(only_samples(taken, vector)))[~taken] > MIXED))


def _combine(weights: np.ndarray, basis: list[Array], like: Array) -> Array:
    count = weights.shape[1]
    return combined(None, weights, basis[:count]) if count else zeros_like(like)
