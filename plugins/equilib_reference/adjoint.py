"""The implicit adjoint with a solver that is chosen by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from equilib.adjoints.implicit import ImplicitAdjoint
from equilib.adjoints.sensitivity import Pullback
from equilib.arrays import Array
from equilib.errors import did_you_mean
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solver import Solver
from equilib.numerics.affine import Affine
from equilib.numerics.bicgstab import BiCGStab
from equilib.numerics.gmres import GMRES
from equilib.numerics.linear_solver import LinearSolver
from equilib.options import OptionError, build, check_options, option, parse_spec
from equilib.plugin import SolverEntry
from equilib.plugin.registry import Registry, UnknownName

LINEAR_SOLVERS: dict[str, type[LinearSolver]] = {"gmres": GMRES, "bicgstab": BiCGStab}


@dataclass(frozen=True)
class NamedImplicitAdjoint:
    """`ImplicitAdjoint` with a linear solver of `LINEAR_SOLVERS`, or any fixed-point solver that is installed.

    The solver may have options of its own, as in "anderson:memory=3;mixing=0.5": by ';', since ',' separates the
    adjoint's.

    Raises
    ------
    ValueError
        If an option is out of its range, of the solver too.
    UnknownName, DuplicateError, EntryError
        If there is no such solver, or it cannot be used here.
    """

    solver: str = option("gmres", help="gmres, bicgstab, or a solver that iterates on w = Jᵀw + g, as in picard")
    rtol: float | None = option(None, help="residual relative to ‖w‖; none takes the forward solve's", minimum=0.0)
    max_steps: int | None = option(None, help="steps of the solver; none takes the forward solve's", minimum=1)
    guess: Array | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_options(self)
        make_solver(self.solver)

    def pullback(self, problem: FixedPointProblem, solution: Solution, cotangent: Array) -> Pullback:
        """Return the cotangents of the inputs, and how well the adjoint equation was solved."""
        implicit = ImplicitAdjoint(make_solver(self.solver), self.rtol, self.max_steps, self.guess)
        return implicit.pullback(problem, solution, cotangent)


@cache  # a registry loads every plugin, and each backward pass asks
def make_solver(spec: str) -> Solver:
    """Return the solver of the adjoint equation that `spec` names.

    Raises
    ------
    OptionError
        If an option of the solver is unknown or wrong.
    UnknownName, DuplicateError, EntryError
        If there is no such solver, or it cannot be used here.
    """
    name, given = parse_spec(spec.replace(";", ","))
    if name in LINEAR_SOLVERS:
        return Affine(build(LINEAR_SOLVERS[name], given, owner=f"linear solver {name!r}"))
    registry = Registry.discover()
    known = [*LINEAR_SOLVERS, *(each.entry.name for each in registry.provided(SolverEntry))]
    try:
        factory = registry.get(SolverEntry, name).load()
    except UnknownName:
        hint = did_you_mean(name, known) or f" There are: {', '.join(known)}."
        raise OptionError(f"option 'solver' expects gmres, bicgstab or a solver, got {name!r}.{hint}") from None
    solver: Solver = build(factory, given, owner=f"solver {name!r}")
    return solver
