"""Broyden's method with the full inverse Jacobian for z = f(z)."""

from __future__ import annotations

from dataclasses import dataclass

from equilib.arrays import Array
from equilib.checks import check_options
from equilib.dense import require_small
from equilib.options import option
from equilib.problem import FixedPointProblem
from equilib_broyden.dense import DenseInverse
from equilib_broyden.iteration import BroydenState, advance, start


@dataclass(frozen=True)
class Broyden:
    """Good Broyden (1965) on r = f(z) − z with the full inverse of each sample, z ← z − H r.

    For small states: H is of the size of z squared. A step after which the residual exceeds `growth` times its least
    so far, or is not finite, is taken back; H has learned from it. From the second time in a row, H begins again
    where it began at first, and the step is half as long each time.

    Raises
    ------
    ValueError
        If an option is out of its range.
    """

    jacobian: str = option(
        "picard",
        help="where H begins: at −I, as Picard iteration does, or at the true Jacobian, by products J·v",
        choices=("picard", "products"),
    )
    growth: float = option(2.0, help="growth of the residual at which a step is taken back", minimum=1.0)
    rejections: int = option(12, help="steps taken back in a row before the sample is given up", minimum=1)
    largest: int = option(1000, help="elements of a state up to which matrices of its size squared are kept", minimum=1)

    def __post_init__(self) -> None:
        check_options(self)

    def init(self, problem: FixedPointProblem, z0: Array) -> BroydenState:
        """Evaluate the initial guess.

        Raises
        ------
        StateTooLargeError
            If a sample has more than `largest` elements.
        """
        require_small(z0, self.largest, solver="broyden", instead="lbroyden")
        return start(problem, z0, DenseInverse.picard(z0, exact=self.jacobian == "products"))

    def step(self, problem: FixedPointProblem, state: BroydenState) -> BroydenState:
        """Try the quasi-Newton step, learn from it, and go on from the better place."""
        return advance(problem, state, growth=self.growth, rejections=self.rejections)
