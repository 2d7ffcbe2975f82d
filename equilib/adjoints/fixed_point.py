"""The fixed point of a map as a differentiable function of what the map depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from equilib.adjoints.closures import with_closure
from equilib.adjoints.equilibrium import Equilibrium
from equilib.adjoints.implicit import ImplicitAdjoint
from equilib.adjoints.linearizations import LastLinearization
from equilib.adjoints.sensitivity import Sensitivity
from equilib.arrays import Tree
from equilib.fixed_points.arguments import check_call, check_inputs
from equilib.fixed_points.options import SolveOptions, overridden
from equilib.fixed_points.packing import packing_of
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solver import Solver, WholeSolver
from equilib.options import parse_spec
from equilib.options.kinds import check_flag, check_kind, described, is_of_kind
from equilib.options.named import FIXED_POINT, SAME, made, resolved


def fixed_point(
    f: Callable[..., Tree],
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
    """Return z = f(z, *inputs), differentiable in the inputs: to any order, forward and in reverse.

    dz = J dz + (∂f/∂θ) dθ and w = Jᵀw + g are one linear solve each, and so is every further derivative.

    Parameters
    ----------
    f : callable
        Maps z and the inputs to an array like z. It must be traceable. Arrays of enclosing functions that it uses are
        differentiated like inputs; what it finds in objects is a constant.
    z0 : array, shape (batch, ...), or tree of such arrays
        The initial guess, as in `solve`; its dtype is the dtype of the solve. It may be traced.
    *inputs : trees of arrays
    solver : str or Solver
        A name as on the command line, such as "anderson" or "anderson:memory=5", or an object.
    adjoint : str or Sensitivity, optional
        How it is differentiated; by default as suits the solver, else by `ImplicitAdjoint()`.
    has_aux : bool
        Whether f returns a pair of the next z and a tree of arrays; it is evaluated once more, at the fixed point.
    options, fallback, batched, **overrides
        As in `solve`.
    batched_inputs : sequence of bool, optional
        As in `FixedPointProblem`. Declared, samples with the cotangent zero add nothing to any gradient, whatever they
        hold; else inputs with nan in such a sample make gradients nan, and a `ConvergenceWarning` says so. What f
        closes over counts as without that axis.

    Returns
    -------
    array, shape (batch, ...), or tree of such arrays
        The fixed point; with `has_aux` the pair of it and what f returned beside it.

    Raises
    ------
    ConvergenceError, TypeError, ValueError
        As `solve` does.
    UserError
        If a name or an option is unknown.
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
    f: Callable[..., Tree],
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
    sample, `adjoints` and `tangents` hold the linear solves of derivatives. Raises what `fixed_point` does.
    """
    # Deferred: autograd is loaded by those who differentiate, not by `import equilib`.
    import equilib.ops  # noqa: F401  operators of traced arrays
    from equilib.adjoints.calculus.differentiable import differentiable_solve
    from equilib.autodiff import stop_gradient

    _check_arguments(f, z0, inputs)
    check_flag(has_aux, "has_aux")
    if batched_inputs is not None and not batched:
        raise ValueError("with batched=False nothing has the batch axis; leave out batched_inputs")
    method = resolved(solver, "solver", "solver")
    of_z = (lambda *arguments: _pair(f(*arguments))[0]) if has_aux else f
    packing = packing_of(z0, "z0", batched=batched)
    lifted, everything = with_closure(of_z, inputs)
    if batched_inputs is not None and lifted is not of_z:
        batched_inputs = (*batched_inputs, False)
    constants = stop_gradient(everything)
    problem = FixedPointProblem(lifted, *constants, linearize=LastLinearization(), batched_inputs=batched_inputs)
    found = differentiable_solve(
        problem if packing is None else packing.problem(problem),
        method,
        z0 if packing is None else packing.pack(z0),
        everything,
        overridden(SolveOptions, options, overrides, fixed_point),
        chosen_adjoint(adjoint, method),
        fallback=fallback,
        batched=batched,
        packing=packing,
    )
    return replace(found, aux=_pair(f(found.z, *inputs))[1]) if has_aux else found


def _check_arguments(f: Any, z0: Any, inputs: tuple[Any, ...]) -> None:
    if isinstance(f, FixedPointProblem):
        raise TypeError("f must be a map of z and inputs, got a FixedPointProblem; give its f, and its inputs after z0")
    check_kind(f, "f", "map of z")
    if isinstance(z0, str) or is_of_kind(z0, "solver"):
        raise TypeError(
            f"z0 must be an array or a tree, got {described(z0)}; the solver is named, as in solver='picard'"
        )
    for each in inputs:
        if isinstance(each, str) or is_of_kind(each, "solver"):
            raise TypeError(f"what follows z0 are inputs of f, got {described(each)}; write solver=...")
    check_inputs(inputs)
    check_call(f, "f", "z", inputs=len(inputs), where="fixed_point(f, z0, *inputs)")


def _pair(returned: Any) -> tuple[Tree, Tree]:
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(f"with has_aux=True f must return a pair, the next z and a tree, got {described(returned)}")
    return returned


def chosen_adjoint(
    adjoint: str | Sensitivity[Solution] | None, solver: str | Solver | WholeSolver
) -> Sensitivity[Solution]:
    """Return the adjoint that a name or an object stands for; by default what suits the solver.

    That is the sensitivity that a solver names by a method `adjoint`, else the implicit adjoint. In a name `same` is
    the solver, as in "implicit:solver=same".
    """
    if adjoint is None:
        own = getattr(solver, "adjoint", None)
        return ImplicitAdjoint() if own is None else own()
    name, own = parse_spec(adjoint) if isinstance(adjoint, str) else ("", {})
    if own.get("solver") == SAME:
        values: dict[str, Any] = {**own, "solver": solver}
        return cast("Sensitivity[Solution]", made("adjoint", name, values, solves=FIXED_POINT))
    found: Sensitivity[Solution] = resolved(adjoint, "adjoint", "sensitivity", solves=FIXED_POINT)
    return found
