"""Limited-memory Broyden for z = f(z)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from equilib import Evaluator
from equilib.arrays import Array
from equilib.numerics.low_rank import LowRankInverse
from equilib.options import Checked, option
from equilib_broyden.iteration import BroydenState, advance, start


@dataclass(frozen=True)
class LimitedMemoryBroyden(Checked):
    """Good Broyden (1965) on r = f(z) − z with a limited memory, z ← z − H r.

    Each sample has its own inverse H; histories grow by two arrays a step and hold `memory` steps at most. The residual
    may rise by orders of magnitude before it falls, as it has to where the Jacobian is not normal. A step after which
    it exceeds `growth` times its least so far, or is not finite, is taken back; H has learned from it. From the second
    time in a row, H begins again at −I, and the step is half as long each time.
    """

    memory: int = option(100, help="keep so many steps in the inverse Jacobian", minimum=1)
    growth: float = option(1e4, help="take a step back when the residual is so many times its least", minimum=1.0)
    rejections: int = option(16, help="give a sample up after so many steps taken back in a row", minimum=1)

    def traced(self) -> Any:
        """Return the form of it that JAX can trace."""
        from equilib_broyden.traced import TracedLimited  # deferred: JAX is loaded by those who use it

        return TracedLimited(**vars(self))

    def init(self, f: Evaluator, z0: Array) -> BroydenState:
        """Evaluate the initial guess."""
        return start(f, z0, LowRankInverse(self.memory))

    def step(self, f: Evaluator, state: BroydenState) -> BroydenState:
        """Try the quasi-Newton step, learn from it, and go on from the better place."""
        return advance(f, state, growth=self.growth, rejections=self.rejections)
