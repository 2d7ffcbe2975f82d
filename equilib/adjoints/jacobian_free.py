"""The Jacobian-free sensitivity, which takes w = g."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from equilib.adjoints.equation import linearized
from equilib.adjoints.sensitivity import Needs, Pullback
from equilib.arrays import Array
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution


@dataclass(frozen=True)
class JacobianFree:
    """Take w = g, as if J were zero (Fung et al. 2022, arXiv:2103.12803).

    Inexact: the error is Jᵀw, so it vanishes with the Jacobian only; cheap: no equation is solved.
    """

    needs: ClassVar[Needs] = Needs()

    def pullback(
        self, problem: FixedPointProblem, solution: Solution, cotangent: Array, *, guess: Array | None = None
    ) -> Pullback[Solution]:
        """Return the cotangents of the inputs for that of z, shape (batch, ...), through one evaluation of f."""
        return Pullback(inputs=linearized(problem, solution, cotangent).inputs_vjp(cotangent))
