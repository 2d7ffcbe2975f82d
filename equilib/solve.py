"""The driver: the only loop over the steps of a solver."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from equilib.arrays import Array, where_samples
from equilib.convergence import NORMS, Monitor, SolveOptions
from equilib.fixed_point import State
from equilib.problem import FixedPointProblem, Linearization
from equilib.protocols import Solver, SolverState, WholeSolver
from equilib.solution import ConvergenceError, ConvergenceWarning, Solution, Status
from equilib.suggest import did_you_mean


def solve(
    problem: FixedPointProblem | Callable[[Array], Array],
    solver: Solver | WholeSolver,
    z0: Array,
    options: SolveOptions | None = None,
    *,
    batched: bool = True,
    **overrides: Any,
) -> Solution:
    """Solve z = f(z) for each sample, starting from `z0`.

    Every sample has its own end: it has converged when ‖f(z) − z‖ ≤ atol + rtol·‖z‖, and then no longer changes.
    A sample that does not converge returns its best finite iterate.

    Parameters
    ----------
    problem : FixedPointProblem or callable
        The map f, or a problem that also knows its derivatives and inputs.
    solver : Solver or WholeSolver
        The method.
    z0 : array, shape (batch, ...)
        The initial guess; its dtype is the dtype of the solve.
    options : SolveOptions, optional
        Tolerances, step limit, norm and what to do on failure.
    batched : bool
        False if z0 has no batch axis, that is, if all its elements form one system.
    **overrides
        Fields of `SolveOptions`, as in `solve(f, solver, z0, rtol=1e-6)`.

    Raises
    ------
    ConvergenceError
        With `on_failure="raise"`, if some sample did not converge; its `solution` holds what was reached.
    ValueError
        If an option is out of its range, or f does not return an array of the shape and dtype of `z0`.
    TypeError
        If an override is not a field of `SolveOptions`, or f does not return an array of the type of `z0`.
    """
    options = _override(options or SolveOptions(), overrides)
    problem = problem if isinstance(problem, FixedPointProblem) else FixedPointProblem(problem)
    if batched and z0.ndim < 1:
        raise ValueError("z0 needs a batch axis; pass batched=False if its elements form one system")
    if batched:
        solution = _iterate(problem.fresh(), solver, z0, options)
    else:
        inner = _iterate(_as_batch_of_one(problem.fresh()), solver, z0[None, ...], options)
        solution = replace(inner, z0=z0, z=inner.z[0, ...], residual=inner.residual[0, ...], batched=False)
    if not solution.success and options.on_failure == "raise":
        raise ConvergenceError(solution)
    if not solution.success and options.on_failure == "warn":
        warnings.warn(solution.failure_report(), ConvergenceWarning, stacklevel=2)
    return solution


def _override(options: SolveOptions, overrides: dict[str, Any]) -> SolveOptions:
    known = [each.name for each in fields(options)]
    for name in overrides:
        if name not in known:
            hint = did_you_mean(name, known) or f" It has: {', '.join(known)}."
            raise TypeError(f"solve has no option {name!r}.{hint}")
    return replace(options, **overrides)


def _iterate(problem: FixedPointProblem, solver: Solver | WholeSolver, z0: Array, options: SolveOptions) -> Solution:
    monitor = Monitor(options, z0.shape[0])
    problem.norm = NORMS[options.norm]
    problem.tolerance_at = options.tolerance_at
    problem.active, problem.tolerance = monitor.active, monitor.tolerance
    # Overflow and invalid operations are what the monitor looks for.
    with np.errstate(all="ignore"):
        states = _states(problem, solver, z0, options.max_steps)
        state = next(states)
        z, residual = state.z, state.residual
        monitor.observe(state)
        while monitor.active.any():
            problem.active, problem.tolerance = monitor.active, monitor.tolerance
            following = next(states, None)
            if following is None:
                break
            state = following
            improved = monitor.observe(state)
            z, residual = (
                where_samples(improved, state.z, z),
                where_samples(improved, state.residual, residual),
            )
    monitor.status[monitor.active] = Status.MAX_STEPS
    return Solution(
        z0=z0,
        z=z,
        residual=residual,
        status=tuple(monitor.status),
        residual_norm=np.where(np.isfinite(monitor.best), monitor.best, monitor.trace[0]),
        steps=monitor.steps,
        nfe=problem.nfe,
        njvp=problem.njvp,
        nvjp=problem.nvjp,
        trace=np.stack(monitor.trace),
        solver=str(solver),
        options=options,
        state=state,
    )


def _states(
    problem: FixedPointProblem, solver: Solver | WholeSolver, z0: Array, max_steps: int
) -> Iterator[SolverState]:
    """Yield the state of the initial guess, then that of each step; a whole solver makes one long step."""
    if isinstance(solver, WholeSolver):
        yield State(z0, problem.residual(z0))
        if max_steps:
            yield solver.run(problem, z0, max_steps)
        return
    state = solver.init(problem, z0)
    yield state
    for _ in range(max_steps):
        state = solver.step(problem, state)
        yield state


def _as_batch_of_one(problem: FixedPointProblem) -> FixedPointProblem:
    def linearize(f: Callable[..., Array], z: Array, *inputs: Any) -> Linearization:
        inner = problem.linearize(z[0, ...])
        return Linearization(
            value=inner.value[None, ...],
            jvp=lambda v: inner.jvp(v[0, ...])[None, ...],
            vjp=lambda w: inner.vjp(w[0, ...])[None, ...],
            inputs_vjp=lambda w: inner.inputs_vjp(w[0, ...]),
        )

    return FixedPointProblem(
        lambda z, *inputs: problem.f(z[0, ...], *inputs)[None, ...], *problem.inputs, linearize=linearize
    )
