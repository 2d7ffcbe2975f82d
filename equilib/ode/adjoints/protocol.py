"""The contract of an ODE sensitivity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from equilib.arrays import Array, array_namespace
from equilib.arrays.trees import Tree, tree_map
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeSolution


@dataclass(frozen=True, kw_only=True)
class OdePullback:
    """What an ODE sensitivity returns.

    Attributes
    ----------
    y0 : array, shape (batch, ...)
        The cotangent of the initial value.
    inputs : tuple of trees
        The cotangents of `problem.inputs`.
    nfe, nvjp : int
        Evaluations of f and of its pullbacks in the backward pass.
    reverse : tuple of OdeSolution
        The integrations backward in time, with their own statuses; empty where there are none.
    """

    y0: Array
    inputs: tuple[Tree, ...]
    nfe: int
    nvjp: int
    reverse: tuple[OdeSolution, ...] = ()


class OdeSensitivity(Protocol):
    """**Protocol:** turn the cotangent of an `OdeSolution` into cotangents of what it depends on.

    1. Be a frozen dataclass; its fields are its options.
    2. `needs_trajectory` says whether the forward integration must be dense, `needs_states` whether it should keep
       the state before each step.
    3. Use f and its derivatives only through `problem`.
    4. A solution that did not reach the end has no derivative: return nan, never raise.
    """

    @property
    def needs_trajectory(self) -> bool:
        """Whether `solution.trajectory` must be there."""

    @property
    def needs_states(self) -> bool:
        """Whether states in `solution.record` save work."""

    def pullback(self, problem: OdeProblem, solution: OdeSolution, cotangent: Array) -> OdePullback:
        """Return the cotangents of y(t₀) and of `problem.inputs` for `cotangent` of `solution.y`."""


def no_derivative(problem: OdeProblem, solution: OdeSolution, reverse: tuple[OdeSolution, ...] = ()) -> OdePullback:
    """Return nan for everything."""

    def nan(leaf: Array) -> Array:
        xp = array_namespace(leaf)
        return xp.full_like(leaf, float("nan")) if xp.isdtype(leaf.dtype, "real floating") else xp.zeros_like(leaf)

    return OdePullback(
        y0=nan(solution.y[0, ...]),
        inputs=tree_map(nan, problem.inputs),
        nfe=problem.nfe,
        nvjp=problem.nvjp,
        reverse=reverse,
    )
