"""The fixed point of a map in JAX, as a differentiable function of all that the map depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax

from equilib.adjoints.fixed_point import chosen_adjoint
from equilib.adjoints.sensitivity import Sensitivity
from equilib.arrays import Tree
from equilib.fixed_points.arguments import check_call
from equilib.fixed_points.options import SolveOptions, overridden
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solve import resolved_fallback
from equilib.fixed_points.solver import Solver, WholeSolver
from equilib.jax.arguments import check_constants, check_rows
from equilib.jax.differentiable import solved
from equilib.jax.how import How, Record
from equilib.jax.problems import posed
from equilib.jax.solution import Equilibrium, TracedSolution
from equilib.jax.states import Packing, packing
from equilib.options.kinds import check_kind
from equilib.options.named import resolved


def fixed_point(
    f: Callable[..., Any],
    z0: Tree,
    *inputs: Tree,
    solver: str | Solver | WholeSolver = "auto",
    adjoint: str | Sensitivity[Solution] | None = None,
    has_aux: bool = False,
    options: SolveOptions | None = None,
    fallback: Sequence[str | Solver | WholeSolver] = (),
    batched: bool = True,
    batched_inputs: Sequence[bool] | None = None,
    **overrides: Any,
) -> Any:
    """Return z = f(z, *inputs), differentiable in the inputs and in what f closes over: to any order, both ways.

    dz = J dz + (∂f/∂θ) dθ and w = Jᵀw + g are one linear solve each, and so is every further derivative. Outside of
    `jit` the host drives the solver between compiled pieces; inside, the solve is one traced loop. `vmap` makes one
    batch of all.

    Parameters
    ----------
    f : callable
        Maps z and the inputs to the like of z. It is compiled once for each code, shapes, and constants that it closes
        over; what it closes over as an array of JAX's is an input. Modules that are trees, as in Equinox and Flax, are
        maps and inputs like others.
    z0 : array, shape (batch, ...), or tree of such arrays
        The initial guess, a constant; its dtype is the dtype of the solve.
    *inputs : trees of arrays
    solver : str or Solver
        A name as on the command line, such as "anderson" or "anderson:memory=5", or an object. Under `jit` one that can
        be traced: picard, anderson, broyden, lbroyden, or auto, which is Anderson mixing there.
    adjoint : str or Sensitivity, optional
        How it is differentiated; by default as suits the solver, else by `ImplicitAdjoint()`. One without a linear
        equation, such as "shine", has first derivatives in reverse mode only, outside of `jit` and `vmap`.
    has_aux : bool
        Whether f returns a pair of the next z and a tree of arrays; it is evaluated once more, at the fixed point.
    options, fallback, batched, **overrides
        As in `equilib.solve`; samples leave the batch only where `compact` is given, as every size is compiled. A norm
        that is a function is given arrays like z0, of shape (batch, size) where that is a tree. Under `jit` nobody is
        warned: see `equilibrium(...).solution`.
    batched_inputs : sequence of bool, optional
        For each of the inputs whether axis 0 of all its arrays is the batch. Declared, samples that are not finite add
        nothing to the gradients of the others.

    Returns
    -------
    array, shape (batch, ...), or tree
        The fixed point; with `has_aux` the pair of it and what f returned beside it.

    Raises
    ------
    ConvergenceError, TypeError, ValueError
        As `equilib.solve` does.
    UserError
        If a name or an option is unknown; a `JitError` if what the host drives is asked for under `jit`.
    """
    found = equilibrium(
        f,
        z0,
        *inputs,
        solver=solver,
        adjoint=adjoint,
        has_aux=has_aux,
        options=options,
        fallback=fallback,
        batched=batched,
        batched_inputs=batched_inputs,
        **overrides,
    )
    return (found.z, found.aux) if has_aux else found.z


def equilibrium(
    f: Callable[..., Any],
    z0: Tree,
    *inputs: Tree,
    solver: str | Solver | WholeSolver = "auto",
    adjoint: str | Sensitivity[Solution] | None = None,
    has_aux: bool = False,
    options: SolveOptions | None = None,
    fallback: Sequence[str | Solver | WholeSolver] = (),
    batched: bool = True,
    batched_inputs: Sequence[bool] | None = None,
    **overrides: Any,
) -> Equilibrium:
    """Solve z = f(z, *inputs) as `fixed_point` does, whose arguments it takes, and return the whole record.

    Its `z` is the fixed point, `aux` what f returned beside it; `solution` tells status, residual and counts of each
    sample, as arrays under `jit` and `vmap`. Raises what `fixed_point` does.
    """
    check_kind(f, "f", "map of z")
    check_call(f, "f", "z", inputs=len(inputs), where="fixed_point(f, z0, *inputs)")
    method = resolved(solver, "solver", "solver")
    check_constants(overrides)
    given = overridden(SolveOptions, options, overrides, fixed_point)
    if options is None and "compact" not in overrides:
        given = replace(given, compact=0.0)
    others = resolved_fallback(fallback)
    packed, start = packing(z0, batched=batched)
    problem = posed(f, inputs, packed, has_aux=has_aux, batched_inputs=batched_inputs)
    check_rows(inputs, batched_inputs, start.shape[0])
    record = Record()
    how = How(method, chosen_adjoint(adjoint, method), given, others, problem.batched, record)
    z, *rest = solved(problem.f, how, start, problem.arrays)
    state = packed.unpack(z)
    return Equilibrium(
        z=state,
        aux=problem.value(state, problem.arrays)[1] if has_aux else None,
        solution=_solution(packed, start, z, rest, record),
        adjoints=record.adjoints,
        tangents=record.tangents,
    )


def _solution(packed: Packing, z0: jax.Array, z: jax.Array, rest: list[jax.Array], record: Record) -> Any:
    """Return the solve's own record, or the arrays that stand for it where it is traced."""
    residual, *numbers = rest
    if record.solutions and not isinstance(numbers[0], jax.core.Tracer):
        (solution,) = record.solutions
        z0, z, residual = map(packed.unpack, (solution.z0, solution.z, solution.residual))
        return replace(solution, z0=z0, z=z, residual=residual, batched=packed.batched)
    constant = jax.lax.stop_gradient(z)
    return TracedSolution(packed.unpack(constant), packed.unpack(residual), *numbers)
