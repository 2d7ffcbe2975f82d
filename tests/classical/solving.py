"""How the classical systems are solved, in the tests and in the committed table alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import root

from equilib import Solution, Solver, solve
from equilib_anderson.solver import Anderson
from equilib_auto.solver import Auto
from equilib_broyden.full import Broyden
from equilib_broyden.limited import LimitedMemoryBroyden
from equilib_dfsane.solver import DFSane
from equilib_newton_dense.solver import NewtonDense
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_pseudo_transient.solver import PseudoTransient
from tests.classical.problems import Classic

SOLVED = 1e-6
"""The ‖F‖∞ below which a system counts as solved."""

SOLVERS: dict[str, Solver] = {
    "newton-dense": NewtonDense(),
    "newton-dense, no line search": NewtonDense(globalization="none"),
    "newton-gmres": NewtonGMRES(),
    "newton-gmres, trust region": NewtonGMRES(globalization="trust-region"),
    "auto": Auto(),
    "broyden": Broyden(),
    "broyden, jacobian=products": Broyden(jacobian="products"),
    "broyden, jacobian=identity": Broyden(jacobian="identity"),
    "lbroyden": LimitedMemoryBroyden(),
    "anderson": Anderson(),
    "dfsane": DFSane(),
    "pseudo-transient": PseudoTransient(),
}
LIBRARY = ("hybr", "lm", "df-sane")


@dataclass(frozen=True)
class Outcome:
    """How one solver did on one system: ‖F‖∞ at its answer, and its evaluations of F and products with F'."""

    size: float
    nfe: int
    products: int
    solution: Solution | None = None

    @property
    def solved(self) -> bool:
        """Whether the answer is a solution."""
        return self.size < SOLVED


def ours(classic: Classic, solver: Solver, sign: float = -1.0) -> Outcome:
    """Solve z = z + sign F(z) from the standard start, to well below `SOLVED`, in as many steps as it takes."""
    solution = solve(
        classic.problem(sign),
        solver,
        classic.z0[None, :],
        rtol=0.0,
        atol=1e-8,
        norm="max",
        max_steps=1000,
        divergence=1e300,  # far from the solution residuals of these systems may grow by more than usual
        on_failure="record",
    )
    return Outcome(_size(classic, solution.z[0]), solution.nfe, solution.njvp + solution.nvjp, solution)


def scipys(classic: Classic, method: str) -> Outcome:
    """Solve by `scipy.optimize.root`, whose evaluations include those for finite differences."""
    with np.errstate(all="ignore"):
        result = root(classic.F, classic.z0, method=method, tol=1e-8)
        return Outcome(_size(classic, result.x), int(result.nfev), 0)


def _size(classic: Classic, x: np.ndarray) -> float:
    size = float(np.max(np.abs(classic.F(x))))
    return size if np.isfinite(size) else float("inf")
