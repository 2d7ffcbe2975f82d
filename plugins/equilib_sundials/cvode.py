"""CVODE as a solver: the steady state of z' = f(z) − z."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from equilib import Evaluator
from equilib.arrays import Array
from equilib.libraries import BridgeState, Sample, integrate_to_rest, run_samples
from equilib.numerics.dense import JACOBIANS
from equilib.ode import Start
from equilib.options import option
from equilib_sundials.library import CVODEMethod, CVODEStepper, check_size

STEP_RTOL = 1e-14
"""The least relative tolerance that makes sense in float64; the absolute one, which follows the residual, counts."""


@dataclass(frozen=True)
class CVODE(CVODEMethod):
    """CVODE of SUNDIALS, each sample with its own time and order; a step is an accepted time step.

    Raises
    ------
    ValueError
        If an option is out of its range, or, when it runs with a dense linear solver, if a sample is larger than
        `largest`.
    """

    jacobian: str = option(
        "exact",
        help="of a dense linear solver: products J·v (exact) or difference quotients, one per element of z",
        choices=JACOBIANS,
    )
    largest: int = option(2000, help="elements of a sample beyond which it refuses a dense linear solver", minimum=1)
    step_rtol: float = option(0.01, help="error of a time step relative to the residual", exclusive_minimum=0.0)
    first_step: float = option(0.5, help="size of the first time step", exclusive_minimum=0.0)
    longest_step: float = option(10.0, help="bound of the size of a time step", exclusive_minimum=0.0)

    def run(self, f: Evaluator, z0: Array, max_steps: int) -> BridgeState:
        """Integrate every sample by itself."""
        check_size(prod(z0.shape[1:]), self.linear_solver, self.largest)
        return run_samples(
            f,
            z0,
            lambda sample: integrate_to_rest(
                sample,
                self._beginner(sample),
                step_rtol=self.step_rtol,
                first_step=min(self.first_step, self.longest_step),
                max_steps=max_steps,
            ),
            jacobian=self.jacobian,
        )

    def _beginner(self, sample: Sample) -> Callable[[np.ndarray, float, float], CVODEStepper]:
        def begin(z: np.ndarray, atol: float, first_step: float) -> CVODEStepper:
            start = Start(
                t=0.0,
                end=np.inf,
                y=z,
                rtol=STEP_RTOL,
                atol=atol,
                first_step=first_step,
                longest_step=self.longest_step,
            )
            return self.begin(
                lambda t, y: sample.residual(y),
                lambda t, y: sample.jacobian(y),
                start,
            )

        return begin
