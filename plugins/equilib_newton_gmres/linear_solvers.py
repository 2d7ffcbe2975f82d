"""The linear solvers by name: ours for each sample, or the array library's GMRES for the whole batch."""

from __future__ import annotations

from equilib.numerics.bicgstab import BiCGStab
from equilib.numerics.gmres import GMRES
from equilib.numerics.linear_solver import LinearSolver

LINEAR_SOLVERS = ("batched", "bicgstab", "library")


def make_linear_solver(name: str, restart: int) -> LinearSolver:
    """Return the linear solver `name`, one of `LINEAR_SOLVERS`, with at most `restart` products.

    Raises
    ------
    ValueError
        If `name` is unknown.
    """
    if name not in LINEAR_SOLVERS:
        raise ValueError(f"unknown linear solver {name!r}; choose from {', '.join(LINEAR_SOLVERS)}")
    if name == "batched":
        return GMRES(restart)
    if name == "bicgstab":
        return BiCGStab(max(restart, 2))  # an iteration has two products
    # Deferred: SciPy takes longer to load than everything else a solve needs.
    from equilib_newton_gmres.library import LibraryGMRES

    return LibraryGMRES(restart)
