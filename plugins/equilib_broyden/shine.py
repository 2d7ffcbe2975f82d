"""SHINE: the inverse Jacobian that the forward solve learned, used once more for the adjoint."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from equilib import Evaluator, FixedPointProblem, Needs, Pullback, Solution
from equilib.adjoints.equation import linearized, solve_adjoint
from equilib.adjoints.idle import idle_samples
from equilib.arrays import Array, where_samples
from equilib.errors import UserError
from equilib.options import Checked, option
from equilib_broyden.iteration import BroydenState, InverseJacobian, advance, start

GROWTH = 100.0
"""Growth of the residual at which a refining step is taken back. The equation is linear: without steps taken back,
Broyden's method ends after twice as many as there are dimensions (Gay 1979), however large residuals are meanwhile."""


class NoInverseError(UserError):
    """SHINE was asked for after a forward solve that did not learn an inverse Jacobian."""


@dataclass(frozen=True)
class Shine(Checked):
    """Take w = −Hᵀ g with the H ≈ (J − I)⁻¹ of the forward solve (Ramzi et al. 2022, arXiv:2106.00553).

    Inexact: H is right along the steps that the forward solve took. With `refine`, that many Broyden steps on
    w = Jᵀw + g follow, starting from that w and from Hᵀ as their inverse, and the best w counts; each takes a product
    Jᵀ·w. One more product measures the residual that `Pullback.solves` reports.

    Samples that a fallback solved are not known to the forward solver's H: they have H = −I, that is w = g as
    `JacobianFree` takes it, before the refinement.
    """

    needs: ClassVar[Needs] = Needs()

    refine: int = option(0, help="improve the result by so many Broyden steps", minimum=0)

    @np.errstate(all="ignore")  # what is not finite gets a status
    def pullback(
        self, problem: FixedPointProblem, solution: Solution, cotangent: Array, *, guess: Array | None = None
    ) -> Pullback[Solution]:
        """Return the cotangents of the inputs, and how well the adjoint equation was solved.

        Raises
        ------
        NoInverseError
            If the forward solver was not Broyden's method.
        """
        linear = linearized(problem, solution, cotangent)
        if not isinstance(solution.state, BroydenState):
            raise NoInverseError(
                f"the adjoint shine reuses the inverse Jacobian of broyden or lbroyden, but the forward solver was "
                f"{solution.solver}; choose one of those, or the adjoint implicit"
            )
        g = cotangent if solution.batched else cotangent[None, ...]
        # What was learned on the way to nowhere says nothing about where a fallback found the fixed point.
        transposed = solution.state.inverse.transposed().restarted(problem, g, solution.attempt > 0)
        w = where_samples(idle_samples(solution, cotangent), g, -transposed.apply(g))
        first = w if solution.batched else w[0, ...]
        options = replace(solution.options, max_steps=self.refine)
        adjoint = solve_adjoint(linear, cotangent, Refinement(transposed), first, options, batched=solution.batched)
        report = replace(adjoint, solver=str(self))
        return Pullback(inputs=linear.inputs_vjp(adjoint.z), solves=(report,), truncated=True)


@dataclass(frozen=True)
class Refinement:
    """Broyden's method from a given inverse."""

    inverse: InverseJacobian = field(repr=False)

    def init(self, f: Evaluator, z0: Array) -> BroydenState:
        """Evaluate the guess."""
        return start(f, z0, self.inverse)

    def step(self, f: Evaluator, state: BroydenState) -> BroydenState:
        """Try the quasi-Newton step, learn from it, and go on from the better place."""
        return advance(f, state, growth=GROWTH, rejections=8)
