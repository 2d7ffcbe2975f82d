"""Solvers, linear solvers and adjoints by name, with the options of the command line."""

from __future__ import annotations

from typing import Any

from equilib.adjoints.sensitivity import Sensitivity
from equilib.fixed_points.solver import Solver, WholeSolver
from equilib.numerics.linear_solver import LinearSolver
from equilib.options.named import made


def solver(name: str, /, **options: Any) -> Solver | WholeSolver:
    """Return the solver that a name stands for, as in `solver("anderson", memory=5)`.

    Parameters
    ----------
    name : str
        As `equilib solvers` lists it; it may have options of its own, as in "newton-gmres:linear_solver.restart=10".
    **options
        Values of its options; of a part a name or an object.

    Raises
    ------
    UserError
        If nothing has that name, or it cannot be used here.
    OptionError
        If an option is unknown or refused.
    """
    found: Solver | WholeSolver = made("solver", name, options)
    return found


def linear_solver(name: str, /, **options: Any) -> LinearSolver:
    """Return the linear solver that a name stands for, as in `linear_solver("gmres", restart=10)`, as `solver` does."""
    found: LinearSolver = made("linear solver", name, options)
    return found


def adjoint(name: str, /, **options: Any) -> Sensitivity[Any]:
    """Return the adjoint that a name stands for, as in `adjoint("shine", refine=2)`, as `solver` does.

    Some differentiate fixed points, some integrations: `equilib adjoints` tells.
    """
    found: Sensitivity[Any] = made("adjoint", name, options)
    return found
