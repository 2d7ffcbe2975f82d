"""Residual history of a solve: the residual after each evaluation of f."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib.arrays import Array, host_norm, rms_norm
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.problem import FixedPointProblem, Linearization
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solve import solve
from equilib.fixed_points.solver import Solver, WholeSolver


@dataclass(frozen=True, kw_only=True)
class History:
    """The residuals that a solver saw.

    Attributes
    ----------
    cost : ndarray of int, shape (evaluations,)
        Evaluations of f and products with J or Jᵀ so far, those of the whole batch counted as one.
    residual : ndarray, shape (evaluations, batch)
        The smallest ‖f(z) − z‖ of each sample so far, in the rms norm; inf before there is a finite one.
    """

    cost: np.ndarray
    residual: np.ndarray
    solution: Solution


def residual_history(
    problem: FixedPointProblem, solver: Solver | WholeSolver, z0: Array, options: SolveOptions
) -> History:
    """Solve, and note the residual at every point at which the solver evaluates f, inside its steps too.

    Raises
    ------
    ConvergenceError, ValueError, TypeError
        As `solve` does.
    """
    record = _Record(z0.shape[0])

    def f(z: Array) -> Array:
        return record.observe(z, problem(z))

    def linearize(_: object, z: Array) -> Linearization:
        linear = problem.linearize(z)
        return Linearization(
            value=record.observe(z, linear.value),
            jvp=record.counting(linear.jvp),
            vjp=record.counting(linear.vjp),
            inputs_vjp=linear.inputs_vjp,
        )

    solution = solve(FixedPointProblem(f, linearize=linearize), solver, z0, options)
    return History(cost=np.array(record.costs), residual=np.array(record.residuals), solution=solution)


class _Record:
    def __init__(self, batch: int) -> None:
        self.spent = 0
        self.best = np.full(batch, np.inf)
        self.costs: list[int] = []
        self.residuals: list[np.ndarray] = []

    def observe(self, z: Array, value: Array) -> Array:
        self.spent += 1
        norm = host_norm(value - z, rms_norm)
        self.best = np.fmin(self.best, np.where(np.isfinite(norm), norm, np.inf))
        self.costs.append(self.spent)
        self.residuals.append(self.best)
        return value

    def counting(self, product: Callable[[Array], Array]) -> Callable[[Array], Any]:
        def counted(v: Array) -> Array:
            self.spent += 1
            return product(v)

        return counted
