"""The protocol of a sensitivity: from the cotangent of a solution to those of what it depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from equilib.arrays import Array, Tree, check_like, is_tree, named_leaves, tree_leaves
from equilib.errors import a
from equilib.fixed_points.boundary import is_traced
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.problem import FixedPointProblem, Problem
from equilib.fixed_points.solution import BatchSolution, Solution
from equilib.options.kinds import check_type

S = TypeVar("S", bound=BatchSolution)


def check_pullback(
    problem: object,
    solution: object,
    cotangent: Array,
    kinds: tuple[type[Problem], type[BatchSolution]] = (FixedPointProblem, Solution),
    what: str = "the fixed point",
) -> None:
    """Require a problem and a solution of these kinds, and a cotangent like the solution's z or y, (batch, ...).

    Raises
    ------
    TypeError, ValueError
        If it is something else.
    """
    hint = f"; the sensitivity is one of {kinds[0].__name__}s" if isinstance(problem, Problem) else ""
    check_type(problem, "problem", kinds[0], hint)
    check_type(solution, "solution", kinds[1])
    if is_tree(getattr(solution, kinds[0].state)):
        raise TypeError(f"{what} is a tree, and a sensitivity takes arrays: use equilib.equilibrium or equilib.evolve")
    if not is_traced(cotangent):
        check_like(getattr(solution, kinds[0].state), cotangent, "the cotangent", what)


@dataclass(frozen=True, kw_only=True)
class Pullback(Generic[S]):
    """What a sensitivity returns.

    Attributes
    ----------
    inputs : tuple of trees
        The cotangents of `problem.inputs`.
    start : array or None
        The cotangent of the initial guess or value; None where the solution does not depend on it.
    solves : tuple of Solution or OdeSolution
        The solves of the adjoint equation, with their own statuses and counts; empty where nothing is solved.
    truncated : bool
        Whether they end early on purpose, as a series does: that their steps are used up is then no failure.
    """

    inputs: tuple[Tree, ...]
    start: Array | None = None
    solves: tuple[S, ...] = ()
    truncated: bool = False

    @property
    def failed(self) -> tuple[S, ...]:
        """The solves of which some sample failed."""
        return tuple(
            each
            for each in self.solves
            if not each.success
            and not (self.truncated and all(how.success or how.label == "max_steps" for how in each.status))
        )


def check_pulled(sensitivity: object, found: Any, inputs: Tree) -> None:
    """Require a `Pullback` whose cotangents have the shapes of the problem's inputs, or none of any input.

    Raises
    ------
    TypeError, ValueError
        If the sensitivity returned something else.
    """
    whose = f"the pullback of the adjoint {type(sensitivity).__name__}"
    look = "equilib.testing.sensitivity_checks examines it"
    if not isinstance(found, Pullback):
        raise TypeError(f"{whose} must return an equilib.Pullback, it returned {a(type(found).__name__)}; {look}")
    if not found.inputs:
        return
    bars, leaves = tree_leaves(found.inputs), dict(named_leaves(inputs))
    if len(bars) != len(leaves):
        raise ValueError(f"{whose} must return {len(leaves)} cotangents of inputs, it returned {len(bars)}; {look}")
    for bar, (path, leaf) in zip(bars, leaves.items(), strict=True):
        shape, like = (tuple(getattr(each, "shape", ())) for each in (bar, leaf))
        if shape != like:
            raise ValueError(f"{whose} must return at {path!r} a cotangent of shape {like}, it is {shape}; {look}")


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a sensitivity asks of who calls it.

    Attributes
    ----------
    trajectory : bool
        Whether an integration must be dense, so that there is `solution.trajectory`.
    states : bool
        Whether it goes back through an integrator's own steps, and should find the state before each of them in
        `solution.record`.
    guess : bool
        Whether the solve of the adjoint equation can start from a `guess`.
    """

    trajectory: bool = False
    states: bool = False
    guess: bool = False


class Sensitivity(Protocol[S]):
    """**Protocol:** turn the cotangent of a solution into cotangents of what it depends on.

    A `Sensitivity[Solution]` differentiates fixed points, a `Sensitivity[OdeSolution]` initial value problems.

    1. Be a frozen dataclass; its fields are its options.
    2. Use f and its derivatives only through `problem`.
    3. `solution` is the forward solve: its `state` may be reused, its `options` are the default tolerances.
    4. Report a solve of your own in `Pullback.solves`; never raise because it did not converge. An integration that did
       not reach its end has no derivative: return nan.
    5. With `solve_adjoint`, as `SolvesAdjoint` has it, or `unroll`, as `Unrolls` has it, there are tangents and
       derivatives of any order; without, they are refused in the name of the class.
    """

    @property
    def needs(self) -> Needs:
        """What it needs; a class attribute, as `needs = Needs()`."""

    def pullback(self, problem: Any, solution: S, cotangent: Array, *, guess: Array | None = None) -> Pullback[S]:
        """Return the inputs' cotangents for that of `solution.z`, (batch, ...), or `solution.y`, (times, batch, ...).

        `problem` is the `FixedPointProblem` or the `OdeProblem`; `guess`, an array like the fixed point, is where to
        start, for those who need one.
        """


class SolvesAdjoint(Protocol):
    """**Protocol:** a sensitivity of fixed points that solves w = Jᵀw + g for others, and so has every derivative."""

    def solve_adjoint(
        self, linear: Linearization, solution: Solution, cotangent: Array, *, guess: Array | None = None
    ) -> Solution:
        """Solve w = Jᵀw + g, shape (batch, ...), with `linear.vjp` as Jᵀ, which is J where a tangent is solved for."""


class Unrolls(Protocol):
    """**Protocol:** a sensitivity that differentiates a loop, which is traced for other derivatives."""

    def unroll(self, problem: Any, solution: Any, start: Array, *inputs: Tree) -> Array:
        """Return the value whose derivative it is, from a start and inputs that are traced.

        That is z, shape (batch, ...), or y at the output times, shape (times, batch, ...).
        """
