"""The fixed point of a map as a differentiable function of what the map depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from equilib.adjoints.equilibrium import Equilibrium
from equilib.adjoints.implicit import ImplicitAdjoint
from equilib.adjoints.linearizations import LastLinearization
from equilib.adjoints.sensitivity import Sensitivity
from equilib.arrays import Array, Tree
from equilib.fixed_points.options import SolveOptions, overridden
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solver import Solver, WholeSolver
from equilib.options.kinds import check_kind


def fixed_point(
    f: Callable[..., Array],
    solver: Solver | WholeSolver,
    z0: Array,
    *inputs: Tree,
    sensitivity: Sensitivity[Solution] | None = None,
    options: SolveOptions | None = None,
    fallback: Sequence[Solver | WholeSolver] = (),
    batched: bool = True,
    batched_inputs: Sequence[bool] | None = None,
    **overrides: Any,
) -> Equilibrium:
    """Solve z = f(z, *inputs) like `solve`, differentiable in the inputs: to any order, forward and in reverse.

    dz = J dz + (∂f/∂θ) dθ and w = Jᵀw + g are one linear solve each, and so is every further derivative.

    Parameters
    ----------
    f : callable
        Maps z and the inputs to an array like z. It must be traceable; what it depends on otherwise is a constant.
    solver, z0, options, fallback, batched, **overrides
        As in `solve`; z0, shape (batch, ...), may be traced.
    *inputs : trees of arrays
    sensitivity : Sensitivity, optional
        By default what suits the solver, else `ImplicitAdjoint()`.
    batched_inputs : sequence of bool, optional
        As in `FixedPointProblem`. Declared, samples with the cotangent zero add nothing to any gradient, whatever they
        hold; else inputs with nan in such a sample make gradients nan, and a `ConvergenceWarning` says so.

    Returns
    -------
    Equilibrium
        Its `z` is the fixed point; `adjoints` and `tangents` hold the linear solves of its derivatives.

    Raises
    ------
    ConvergenceError, TypeError, ValueError
        As `solve` does.
    """
    # Deferred: autograd is loaded by those who differentiate, not by `import equilib`.
    import equilib.ops  # noqa: F401  operators of traced arrays
    from equilib.adjoints.calculus.differentiable import equilibrium
    from equilib.autodiff import stop_gradient

    check_kind(f, "f", "map of z")
    check_kind(solver, "solver", "solver")
    if sensitivity is not None:
        check_kind(sensitivity, "sensitivity", "sensitivity")
    return equilibrium(
        FixedPointProblem(f, *stop_gradient(inputs), linearize=LastLinearization(), batched_inputs=batched_inputs),
        solver,
        z0,
        inputs,
        overridden(SolveOptions, options, overrides, fixed_point),
        suited(solver) if sensitivity is None else sensitivity,
        fallback=fallback,
        batched=batched,
    )


def suited(solver: Solver | WholeSolver) -> Sensitivity[Solution]:
    """Return the sensitivity that a solver names by a method `adjoint`, else the implicit adjoint."""
    adjoint = getattr(solver, "adjoint", None)
    return ImplicitAdjoint() if adjoint is None else adjoint()
