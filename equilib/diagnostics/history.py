"""Residual history of a solve: the residual after each evaluation of f."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from equilib.arrays import Array, host_norm, rms_norm
from equilib.fixed_points.evaluator import Counts, counted
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solve import solve
from equilib.fixed_points.solver import Solver, WholeSolver


@dataclass(frozen=True, kw_only=True)
class History:
    """The residuals that a solver saw.

    `cost`, shape (evaluations,), counts evaluations of f and products with J or Jᵀ so far, those of the whole batch as
    one; `residual`, shape (evaluations, batch), is the smallest ‖f(z) − z‖ of each sample so far, in the rms norm; inf
    before there is a finite one.
    """

    cost: np.ndarray
    residual: np.ndarray
    solution: Solution


def residual_history(
    problem: FixedPointProblem, solver: str | Solver | WholeSolver, z0: Array, options: SolveOptions
) -> History:
    """Solve, and note the residual at every point at which the solver evaluates f, inside its steps too.

    Raises what `solve` does.
    """
    counts, costs, residuals = Counts(), list[int](), [np.full(z0.shape[0], np.inf)]
    own = counted(problem, counts)

    def observe(z: Array, value: Array) -> Array:
        norm = host_norm(value - z, rms_norm)
        residuals.append(np.fmin(residuals[-1], np.where(np.isfinite(norm), norm, np.inf)))
        costs.append(counts.nfe + counts.njvp + counts.nvjp)
        return value

    def linearize(_: object, z: Array) -> Linearization:
        linear = own.linearize(z)
        return replace(linear, value=observe(z, linear.value))

    watched = FixedPointProblem(lambda z: observe(z, own(z)), linearize=linearize)
    solution = solve(watched, solver, z0, options)
    return History(cost=np.array(costs), residual=np.array(residuals[1:]), solution=solution)
