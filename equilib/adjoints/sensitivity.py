"""The protocol of a sensitivity: from the cotangent of a fixed point to those of what it depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from equilib.arrays import Array
from equilib.arrays.trees import Tree

if TYPE_CHECKING:
    from equilib.fixed_points.problem import FixedPointProblem
    from equilib.fixed_points.solution import Solution


@dataclass(frozen=True, kw_only=True)
class Pullback:
    """What a sensitivity returns.

    Attributes
    ----------
    inputs : tuple of trees
        The cotangents of `problem.inputs`.
    guess : array or None
        The cotangent of the initial guess; None where the result does not depend on it.
    adjoint : Solution or None
        The solve of the adjoint equation, with its own statuses and counts; None where nothing is solved.
    """

    inputs: tuple[Tree, ...]
    guess: Array | None = None
    adjoint: Solution | None = None


class Sensitivity(Protocol):
    """**Protocol:** turn the cotangent of a fixed point into cotangents of what it depends on.

    1. Be a frozen dataclass; its fields are its options.
    2. Use f and its derivatives only through `problem`.
    3. `solution` is the forward solve: its `state` may be reused, its `options` are the default tolerances.
    4. Report a solve of your own in `Pullback.adjoint`; never raise because it did not converge.

    A sensitivity that solves w = Jᵀ w + g may have a field `guess: Array | None = None`, excluded from comparison and
    `repr`: where to start. A model puts there the `adjoint_guess` of its call.
    """

    def pullback(self, problem: FixedPointProblem, solution: Solution, cotangent: Array) -> Pullback:
        """Return the cotangents of `problem.inputs` for `cotangent`, shape (batch, ...), of `solution.z`."""
