"""`solve`: a problem, a solver, fallbacks, and the policy about samples that do not converge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from equilib.arrays import Array, Tree
from equilib.fixed_points.arguments import check_state
from equilib.fixed_points.boundary import evaluate
from equilib.fixed_points.fallback import solve_in_turn
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.options import SolveOptions, overridden
from equilib.fixed_points.packing import packing_of
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import ConvergenceError, ConvergenceWarning, Solution, check_success
from equilib.fixed_points.solver import Solver, WholeSolver
from equilib.options.kinds import check_flag, check_kind
from equilib.options.named import resolved

Arrange: TypeAlias = Callable[[Array], Array]


def solve(
    problem: FixedPointProblem | Callable[[Array], Array],
    solver: str | Solver | WholeSolver,
    z0: Tree,
    options: SolveOptions | None = None,
    *,
    fallback: Sequence[str | Solver | WholeSolver] = (),
    batched: bool = True,
    **overrides: Any,
) -> Solution:
    """Solve z = f(z) for each sample, starting from `z0`.

    Every sample has its own end: it has converged when ‖f(z) − z‖ ≤ atol + rtol·min(‖z‖, S), S being the
    scale on which it began, and the last step tells no larger distance; then it no longer changes.
    A sample that does not converge returns its best finite iterate, after the solvers in `fallback` have tried as well.
    Where the problem says which inputs have the batch axis and the solver allows it, finished samples are removed from
    the evaluation of f (see `SolveOptions.compact`).

    Parameters
    ----------
    problem : FixedPointProblem or callable
        The map f, or a problem that also knows its derivatives and inputs.
    solver : str, Solver or WholeSolver
        The method: a name as on the command line, such as "anderson" or "anderson:memory=5", or an object.
    z0 : array, shape (batch, ...), or tree of such arrays
        The initial guess; its dtype is the dtype of the solve. Of a tree, a dict, tuple or list of arrays with one
        batch axis and one dtype, f returns the like, and so are z and the residual; tolerances of each component are
        for all leaves in a row.
    options : SolveOptions, optional
        Tolerances, step limit, norm and what to do on failure.
    fallback : sequence of str, Solver or WholeSolver
        One after another they solve the samples that have not converged so far, from the initial guess, with the same
        options; `Solution.solved_by` tells who finished which sample.
    batched : bool
        False if z0 has no batch axis, that is, if all its elements form one system.
    **overrides
        Fields of `SolveOptions`, as in `solve(f, solver, z0, rtol=1e-6)`.

    Raises
    ------
    ConvergenceError
        With `on_failure="raise"`, if some sample did not converge; its `solution` holds what was reached.
    ValueError
        If an option is out of its range, f does not return an array of the shape and dtype of `z0`, or an input that
        the problem declares to have the batch axis does not have it.
    TypeError
        If an argument is not what it must be, an override is not a field of `SolveOptions`, or f does not return an
        array of the type of `z0`.
    UserError
        If a name or an option is unknown.
    Exception
        What f raises, unchanged, with a note on what it was given.
    """
    if not isinstance(problem, FixedPointProblem):
        check_kind(problem, "problem", "map of z")
        problem = FixedPointProblem(problem)
    check_flag(batched, "batched")
    methods = (resolved(solver, "solver", "solver"), *resolved_fallback(fallback))
    options = overridden(SolveOptions, options, overrides, solve)
    packing = packing_of(z0, "z0", batched=batched)
    if packing is not None:
        problem, z0 = packing.problem(problem), packing.pack(z0)
    check_state(z0, "z0")
    if batched and z0.ndim < 1:
        raise ValueError("z0 needs a batch axis; pass batched=False if its elements form one system")
    if batched:
        solution = solve_in_turn(problem, methods, z0, options)
    else:
        batch_of_one = rearranged(problem, lambda z: z[None, ...], lambda z: z[0, ...])
        inner = solve_in_turn(batch_of_one, methods, z0[None, ...], options)
        solution = replace(inner, z0=z0, z=inner.z[0, ...], residual=inner.residual[0, ...], batched=False)
    solution = solution if packing is None else packing.solution(solution)
    check_success(solution, options.on_failure, ConvergenceError, ConvergenceWarning)
    return solution


def resolved_fallback(fallback: Any) -> tuple[Any, ...]:
    """Return a sequence of solvers, each a name or an object, as objects; raises TypeError, and as `resolved` does."""
    if not isinstance(fallback, tuple | list):
        raise TypeError(f"fallback expects a tuple of solvers, as in fallback=(solver,), got {fallback!r}")
    return tuple(resolved(each, "fallback", "solver") for each in fallback)


def rearranged(problem: FixedPointProblem, there: Arrange, back: Arrange) -> FixedPointProblem:
    """Return the problem of z ↦ there(f(back(z))): of states in another arrangement, such as without a batch axis."""

    def linearize(f: Callable[..., Array], z: Array, *inputs: Any) -> Linearization:
        inner = problem.linearize(back(z))
        return Linearization(
            value=there(inner.value),
            jvp=lambda v: there(inner.jvp(back(v))),
            vjp=lambda w: there(inner.vjp(back(w))),
            inputs_vjp=lambda w: inner.inputs_vjp(back(w)),
        )

    return FixedPointProblem(
        lambda z, *inputs: there(evaluate(problem.f, back(z), *inputs)),
        *problem.inputs,
        linearize=linearize,
        affine=problem.affine,
    )
