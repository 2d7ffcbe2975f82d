"""Solvers that take over the samples which the ones before them left unconverged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from equilib.arrays import Array, put_rows, take_rows
from equilib.fixed_points.driver import iterate
from equilib.fixed_points.evaluator import Counts, Evaluator
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solver import Solver, WholeSolver


def solve_in_turn(
    problem: FixedPointProblem, solvers: Sequence[Solver | WholeSolver], z0: Array, options: SolveOptions
) -> Solution:
    """Solve with the first solver, then what it left unconverged with the next one, and so on.

    Each starts from the initial guess: where a solver failed, its iterates may lie beyond recovery, or in a valley of
    the residual that has no fixed point. A sample that none of them solves returns the best iterate of all.
    """
    require_size(solvers, prod(z0.shape[1:]))
    counts = Counts()
    solution = iterate(_evaluator(problem, z0, options, counts), solvers[0], z0)
    for number, solver in enumerate(solvers[1:], start=1):
        rows = np.flatnonzero(~solution.converged)
        if not len(rows):
            break
        solution = _joined(solution, _again(problem, solver, z0, options, rows, counts), rows, number)
    return solution


def require_size(solvers: Iterable[object], size: int) -> None:
    """Refuse states that a solver among them cannot take; raises UserError for samples of too many elements."""
    for solver in solvers:
        refuse = getattr(solver, "require_size", None)
        if refuse is not None:
            refuse(size)


def _evaluator(
    problem: FixedPointProblem, z0: Array, options: SolveOptions, counts: Counts, active: np.ndarray | None = None
) -> Evaluator:
    # Until a state has been seen, which the driver measures.
    tolerance = np.zeros(z0.shape[0])
    return Evaluator(problem, z0, options, active=active, tolerance=tolerance, counts=counts)


def _again(
    problem: FixedPointProblem,
    solver: Solver | WholeSolver,
    z0: Array,
    options: SolveOptions,
    rows: np.ndarray,
    counts: Counts,
) -> Solution:
    """Solve the samples `rows`; the counts are those of all solves so far."""
    if problem.batched_inputs is not None:
        start = take_rows(z0, rows)
        return iterate(_evaluator(problem.restricted(rows), start, options, counts), solver, start)
    active = np.isin(np.arange(z0.shape[0]), rows)
    solution = iterate(_evaluator(problem, z0, options, counts, active), solver, z0)
    return replace(
        solution,
        z=take_rows(solution.z, rows),
        residual=take_rows(solution.residual, rows),
        status=tuple(solution.status[row] for row in rows),
        residual_norm=solution.residual_norm[rows],
        steps=solution.steps[rows],
        trace=solution.trace[:, rows],
    )


def _joined(whole: Solution, part: Solution, rows: np.ndarray, number: int) -> Solution:
    """Return the solution with what the solver `number` found for the samples `rows`, where that is better."""
    before, after = (np.nan_to_num(each, nan=np.inf) for each in (whole.residual_norm[rows], part.residual_norm))
    better = np.flatnonzero(part.converged | (after <= before))
    taken = rows[better]
    status = np.array(whole.status, dtype=object)
    status[taken] = np.array(part.status, dtype=object)[better]
    norm, attempt, steps = whole.residual_norm.copy(), whole.attempt.copy(), whole.steps.copy()
    norm[taken], attempt[taken] = part.residual_norm[better], number
    steps[rows] += part.steps
    trace = np.repeat(whole.trace[-1:], len(part.trace), axis=0)
    trace[:, rows] = part.trace
    return replace(
        whole,
        z=put_rows(whole.z, take_rows(part.z, better), taken),
        residual=put_rows(whole.residual, take_rows(part.residual, better), taken),
        status=tuple(status),
        residual_norm=norm,
        steps=steps,
        nfe=part.nfe,
        njvp=part.njvp,
        nvjp=part.nvjp,
        sample_nfe=part.sample_nfe,
        trace=np.concatenate((whole.trace, trace)),
        fallbacks=(*whole.fallbacks, part.solver),
        attempt=attempt,
    )
