"""Solutions as differentiable functions of where the solve starts and of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from equilib.adjoints.calculus.implicit_function import ImplicitFunction, LinearEquations
from equilib.adjoints.calculus.sample_wise import SampleWise
from equilib.adjoints.equilibrium import Equilibrium
from equilib.adjoints.idle import UNDECLARED, undeclared
from equilib.adjoints.linearizations import leaves_of_used
from equilib.adjoints.sensitivity import Pullback, check_pulled
from equilib.arrays import Array, Tree, only_samples, tree_leaves, tree_unflatten, zeros_like
from equilib.autodiff import static_value
from equilib.autodiff.custom import Differential, Refused, Traced, with_pullback
from equilib.errors import warn
from equilib.fixed_points.evaluator import Counts, counted
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.packing import Packing
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.reproduced import check_reproduced
from equilib.fixed_points.solution import (
    BatchSolution,
    ConvergenceError,
    ConvergenceWarning,
    Solution,
    check_success,
    of_adjoint,
)
from equilib.fixed_points.solve import solve
from equilib.fixed_points.solver import Solver, WholeSolver

S = TypeVar("S", bound=BatchSolution)

NO_CALCULUS = (
    "the adjoint {} has first derivatives in reverse mode only; for tangents, second derivatives, and solvers that ask "
    "for J·v of a map with an equilibrium in it, take ImplicitAdjoint(), Unrolled() or a fixed depth"
)
"""Why there is no other derivative."""


def differentiable(
    value: Array,
    start: Array,
    inputs: tuple[Tree, ...],
    pull: Callable[[Array], Pullback[S]],
    leaves: Callable[[tuple[Tree, ...]], Sequence[Array | None]] = tree_leaves,
    *,
    check: Callable[[S], None],
    differential: Differential | None = None,
) -> tuple[Array, list[S]]:
    """Return `value` with a derivative, and the list to which each backward pass adds its solves.

    Parameters
    ----------
    value : array
        Of a solution, a constant.
    start : array
        The initial guess or value; it may be traced.
    inputs : tuple of trees of arrays
        They may be traced.
    pull : callable
        Maps the cotangent of `value` to those of the start and the inputs, as a sensitivity does.
    leaves : callable
        Maps the cotangents of the inputs to those of their leaves, None where there is none.
    check : callable
        Called once in a backward pass that left samples unsolved, with the first such solve: the policy.
    differential : Differential, optional
        Of tangents and further derivatives, in the start and the leaves of the inputs; by default they raise.
    """
    adjoints: list[S] = []

    def pullback(cotangent: Array) -> Sequence[Array | None]:
        pulled = pull(cotangent)
        adjoints.extend(pulled.solves)
        for each in pulled.failed[:1]:  # once a pass
            check(each)
        constant = static_value(start)
        bar = zeros_like(constant) if pulled.start is None else pulled.start
        return [bar, *leaves(pulled.inputs)]

    return with_pullback(value, pullback, start, *tree_leaves(inputs), differential=differential), adjoints


def differentiable_solve(
    problem: FixedPointProblem,
    solver: str | Solver | WholeSolver,
    z0: Array,
    inputs: tuple[Tree, ...],
    options: SolveOptions,
    sensitivity: Any,
    *,
    fallback: Sequence[str | Solver | WholeSolver] = (),
    batched: bool = True,
    gradient_of: str = "all",
    guess: Array | None = None,
    packing: Packing | None = None,
) -> Equilibrium:
    """Solve the problem, whose inputs are constants, as a function of z0 and of `inputs`, which may be traced.

    Where problem and z0 are those of a packed tree, the record is that of the tree.
    """
    solution = solve(problem, solver, static_value(z0), options, fallback=fallback, batched=batched)
    followed = solution.converged | (gradient_of == "all")
    shown = (lambda found: found) if packing is None else packing.solution
    way = _Way(sensitivity, options.on_failure, guess, shown)

    def pull(g: Array) -> Pullback[Solution]:
        g = only_samples(followed, g)
        pulled = way.pullback(problem, solution, g)
        if undeclared(problem, solution, g, pulled.inputs):
            warn(UNDECLARED, ConvergenceWarning)
        return pulled if packing is None else replace(pulled, solves=tuple(map(shown, pulled.solves)))

    z, way.adjoints = differentiable(
        solution.z,
        z0,
        inputs,
        pull,
        lambda cotangents: leaves_of_used(problem, cotangents),
        check=way.check,
        differential=SampleWise(problem, solution, followed, way.differential),
    )
    record = shown(solution)
    return Equilibrium(
        z=z if packing is None else packing.unpack(z),
        z0=z0 if packing is None else packing.unpack(z0),
        residual=record.residual,
        residual_norm=solution.residual_norm,
        status=solution.status,
        nfe=solution.nfe,
        njvp=solution.njvp,
        solution=record,
        adjoints=way.adjoints,
        backward=way.backward,
        tangents=way.tangents,
    )


@dataclass
class _Way:
    """How a fixed point is differentiated: by whom, what was solved for that, and the policy about it."""

    sensitivity: Any
    on_failure: str
    guess: Array | None
    shown: Callable[[Solution], Solution]
    adjoints: list[Solution] = field(default_factory=list)
    tangents: list[Solution] = field(default_factory=list)
    backward: Counts = field(default_factory=Counts)

    def pullback(self, problem: FixedPointProblem, solution: Solution, cotangent: Array) -> Pullback[Solution]:
        problem = counted(problem, self.backward)
        pulled: Pullback[Solution] = self.sensitivity.pullback(problem, solution, cotangent, guess=self.guess)
        check_pulled(self.sensitivity, pulled, problem.inputs)
        return pulled

    def differential(self, problem: FixedPointProblem, solution: Solution) -> Differential:
        if hasattr(self.sensitivity, "solve_adjoint"):
            solved = partial(self.solved, solution)
            return ImplicitFunction(LinearEquations(problem, solution.z, solved), self.guess)
        if hasattr(self.sensitivity, "unroll"):
            unroll = partial(self.sensitivity.unroll, problem, solution)
            return Traced(lambda start, *leaves: unroll(start, *tree_unflatten(problem.inputs, list(leaves))))
        return Refused(NO_CALCULUS.format(type(self.sensitivity).__name__))

    def solved(
        self, solution: Solution, linear: Linearization, b: Array, *, transpose: bool, guess: Array | None
    ) -> Array:
        check_reproduced(solution, linear.value)
        found: Solution = self.sensitivity.solve_adjoint(linear, solution, b, guess=guess)
        (self.adjoints if transpose else self.tangents).append(self.shown(found))
        self.check(found, "adjoint" if transpose else "tangent")
        return found.z

    def check(self, found: Solution, what: str = "adjoint") -> None:
        of = of_adjoint(self.sensitivity, what)
        check_success(found, self.on_failure, ConvergenceError, ConvergenceWarning, of=of)
