"""GMRES from `scipy.sparse.linalg` or `cupyx.scipy.sparse.linalg`, whichever the arrays belong to."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib.arrays import Array, array_namespace, coefficients, host_norm, rows_like, where_samples
from equilib.numerics.linear_solver import MatVec
from equilib.options import Checked, option
from equilib_linear_solvers.known_products import shortest_cycle


@dataclass(frozen=True)
class LibraryGMRES(Checked):
    """One cycle of the library's GMRES on the equations of the whole batch as a single system.

    Samples share one Krylov space and one stopping test, so they are coupled: the system is solved to the smallest
    tolerance asked for, and an answer depends, within its tolerance, on the other samples of the batch.
    """

    restart: int = option(20, help="restart GMRES after so many products", minimum=1)
    balance: bool = option(True, help="divide each sample's equation by the size of its right-hand side")

    def solve(self, matvec: MatVec, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Reduce the residual of the batch to min(rtol)·‖b‖ in the weakest sample, or return after one cycle.

        Raises TypeError if the arrays are neither NumPy's nor CuPy's.
        """
        xp = array_namespace(b)
        norm = host_norm(b)
        usable = active & np.isfinite(norm) & (norm > 0)
        zeros = xp.zeros_like(b)
        if not usable.any():
            return zeros
        # Samples of unlike size share the stopping test.
        scale = np.where(usable & self.balance, norm, 1.0)
        size = rows_like(coefficients(scale, b), b)
        rhs = where_samples(usable, b / size, zeros)

        def flat_matvec(v: Array) -> Array:
            v = xp.reshape(v, b.shape)
            # A sample that is not usable must not leak into the shared norms.
            product = where_samples(usable, matvec(v), v)
            # A fresh contiguous array of b's dtype: CuPy hands its pointer to cuBLAS unchecked.
            return xp.asarray(xp.reshape(product, (-1,)), dtype=b.dtype, copy=True)

        linalg = _linalg(b)
        # Each sample must reach its rtol, but the library tests ‖r‖ of the whole batch.
        target = float(np.min((rtol * (norm / scale))[usable]))
        flat = xp.reshape(rhs, (-1,))
        if isinstance(b, np.ndarray):
            operator = linalg.LinearOperator((b.size, b.size), matvec=flat_matvec, dtype=b.dtype)
            x, _ = linalg.gmres(operator, flat, rtol=0.0, atol=target, restart=self.restart, maxiter=1)
        else:
            x = shortest_cycle(linalg, flat_matvec, flat, target=target, restart=self.restart)
        return where_samples(usable, xp.reshape(x, b.shape) * size, zeros)


def _linalg(array: Array) -> Any:
    library = type(array).__module__.partition(".")[0]
    modules = {"numpy": "scipy.sparse.linalg", "cupy": "cupyx.scipy.sparse.linalg"}
    if library not in modules:
        raise TypeError(
            f"linear_solver=library works on NumPy and CuPy arrays, not on {library}'s; use linear_solver=gmres"
        )
    return importlib.import_module(modules[library])
