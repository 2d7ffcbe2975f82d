"""The adjoint equation w = Jᵀ w + g, solved by the first terms of a series."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from equilib import FixedPointProblem, Needs, Picard, Pullback, Solution
from equilib.adjoints.equation import linearized, solve_adjoint
from equilib.arrays import Array
from equilib.options import Checked, option


@dataclass(frozen=True)
class Neumann(Checked):
    """Take w = Σ_{k<K} (Jᵀ)ᵏ g, the first K terms of the series of (I − Jᵀ)⁻¹ g.

    With damping it is the phantom gradient, w = λ Σ_{k<K} Bᵏ g with B = (1 − λ) I + λ Jᵀ and λ = 1 − damping (Geng et
    al. 2021, arXiv:2111.05177).

    Inexact: without damping, what is missing is (Jᵀ)ᴷ w*. K terms cost K products Jᵀ·w; the last of them tells how far
    w is from solving the adjoint equation, which is what `Pullback.solves` reports.
    """

    needs: ClassVar[Needs] = Needs()

    terms: int = option(5, help="sum so many terms K of the series", minimum=1)
    damping: float = option(0.0, help="keep this share of the old w", minimum=0.0, exclusive_maximum=1.0)

    @np.errstate(all="ignore")  # where the series overflows, the status says so
    def pullback(
        self, problem: FixedPointProblem, solution: Solution, cotangent: Array, *, guess: Array | None = None
    ) -> Pullback[Solution]:
        """Sum the series and return the cotangents of the inputs."""
        linear = linearized(problem, solution, cotangent)
        share = 1 - self.damping
        w = share * cotangent
        for _ in range(self.terms - 1):
            w = w + share * (linear.vjp(w) + cotangent - w)
        # No further step: the driver only measures the residual of w.
        options = replace(solution.options, max_steps=0)
        report = solve_adjoint(linear, cotangent, Picard(), w, options, batched=solution.batched)
        adjoint = replace(
            report,
            z=w,
            nfe=self.terms,
            sample_nfe=self.terms * len(report.status),
            steps=report.steps + self.terms - 1,
            solver=str(self),
        )
        return Pullback(inputs=linear.inputs_vjp(w), solves=(adjoint,), truncated=True)
