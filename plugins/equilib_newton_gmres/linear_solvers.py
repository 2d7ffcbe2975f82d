"""The linear solvers by name: our GMRES for each sample, or the array library's for the whole batch."""

from __future__ import annotations

from equilib.linear import GMRES
from equilib.protocols import LinearSolver

LINEAR_SOLVERS = ("batched", "library")


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
    # Deferred: SciPy takes longer to load than everything else a solve needs.
    from equilib_newton_gmres.library import LibraryGMRES

    return LibraryGMRES(restart)
