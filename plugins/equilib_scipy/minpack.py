"""Powell's hybrid method and Levenberg-Marquardt, from MINPACK: both factorize dense Jacobians."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from equilib import Evaluator
from equilib.arrays import Array
from equilib.libraries import BridgeState, run_samples
from equilib.numerics.dense import JACOBIANS, require_small
from equilib.options import Checked, option
from equilib_scipy.call import JACOBIAN, LARGEST, call_root


@dataclass(frozen=True)
class _MINPACK(Checked):
    """A method of MINPACK; a step is an evaluation of f that does not belong to a Jacobian.

    Its own tolerances are zero: it ends when the driver's is met, or when it cannot get on.

    Raises ValueError when it runs, if a sample is larger than `largest`.
    """

    method: ClassVar[str]
    out_of_steps: ClassVar[int]
    limit: ClassVar[str]
    tolerances: ClassVar[tuple[str, ...]]

    jacobian: str = option("exact", help=JACOBIAN, choices=JACOBIANS)
    factor: float = option(100.0, help="bound the first step, relative to the size of z0", minimum=0.1, maximum=100.0)
    largest: int = option(LARGEST, help="refuse samples of more elements", minimum=1)

    def require_size(self, size: int) -> None:
        """Refuse samples of more elements than `largest`; raises StateTooLargeError."""
        require_small(size, self.largest, solver=f"scipy:{self.method}", instead="scipy:krylov")

    def run(self, f: Evaluator, z0: Array, max_steps: int) -> BridgeState:
        """Solve every sample by a call of its own."""
        self.require_size(prod(z0.shape[1:]))
        # The evaluation of the guess is not a step.
        options = {self.limit: max_steps + 1, "factor": self.factor, **dict.fromkeys(self.tolerances, 0.0)}
        jacobian, out_of_steps = self.jacobian, self.out_of_steps
        return run_samples(
            f, z0, lambda each: call_root(each, self.method, options, jacobian=jacobian, out_of_steps=out_of_steps)
        )


@dataclass(frozen=True)
class Hybr(_MINPACK):
    """Powell's hybrid method: a trust region with a dogleg, and Broyden updates between Jacobians."""

    method = "hybr"
    out_of_steps = 2
    limit = "maxfev"
    tolerances = ("xtol",)


@dataclass(frozen=True)
class LevenbergMarquardt(_MINPACK):
    """Levenberg-Marquardt: least squares, so that it may end in a minimum that is no fixed point."""

    method = "lm"
    out_of_steps = 5
    limit = "maxiter"
    tolerances = ("xtol", "ftol", "gtol")
