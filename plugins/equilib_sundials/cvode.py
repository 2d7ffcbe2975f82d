"""CVODE as a solver: the steady state of z' = f(z) − z."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from equilib.arrays import Array
from equilib.bridges import JACOBIANS, BridgeState, Sample, integrate_to_rest, run_samples
from equilib.checks import check_options
from equilib.options import option
from equilib.problem import FixedPointProblem

STEP_RTOL = 1e-14
"""The least relative tolerance that makes sense in float64; the absolute one, which follows the residual, counts."""

FOREVER = 1e10
"""A time that is not reached; CVODE takes from it which way time goes."""


@dataclass(frozen=True)
class CVODE:
    """CVODE of SUNDIALS, each sample with its own time and order; a step is an accepted time step.

    Raises
    ------
    ValueError
        If an option is out of its range, or, when it runs with a dense linear solver, if a sample is larger than
        `largest`.
    """

    method: str = option("bdf", help="linear multistep method", choices=("bdf", "adams"))
    linear_solver: str = option(
        "gmres",
        help="for Newton's method in a step: by difference quotients of f, or with dense Jacobians",
        choices=("gmres", "bicgstab", "tfqmr", "dense"),
    )
    krylov_size: int = option(10, help="products in one linear solve at most", minimum=1)
    jacobian: str = option(
        "exact",
        help="of a dense linear solver: products J·v (exact) or difference quotients, one per element of z",
        choices=JACOBIANS,
    )
    largest: int = option(2000, help="elements of a sample beyond which it refuses a dense linear solver", minimum=1)
    step_rtol: float = option(0.01, help="error of a time step relative to the residual", exclusive_minimum=0.0)
    first_step: float = option(0.5, help="size of the first time step", exclusive_minimum=0.0)
    longest_step: float = option(10.0, help="bound of the size of a time step", exclusive_minimum=0.0)

    def __post_init__(self) -> None:
        check_options(self)

    def run(self, problem: FixedPointProblem, z0: Array, max_steps: int) -> BridgeState:
        """Integrate every sample by itself."""
        size = prod(z0.shape[1:])
        if self.linear_solver == "dense" and size > self.largest:
            raise ValueError(
                f"linear_solver=dense makes a Jacobian of {size}×{size} numbers per sample, beyond the option "
                f"largest={self.largest}: raise it, or use linear_solver=gmres"
            )
        return run_samples(
            problem,
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
        # Deferred: an optional extra.
        from sksundae.cvode import CVODE as Library  # noqa: N811 - its name is this class's

        def rhs(t: float, y: np.ndarray, yp: np.ndarray) -> None:
            yp[:] = sample.residual(y)

        def begin(z: np.ndarray, atol: float, first_step: float) -> CVODEStepper:
            solver = Library(
                rhs,
                method={"bdf": "BDF", "adams": "Adams"}[self.method],
                rtol=STEP_RTOL,
                atol=atol,
                first_step=first_step,
                max_step=self.longest_step,
                **self._linear_options(sample),
            )
            return CVODEStepper(solver, z)

        return begin

    def _linear_options(self, sample: Sample) -> dict[str, Any]:
        if self.linear_solver != "dense":
            return {"linsolver": self.linear_solver, "krylov_dim": self.krylov_size}

        def jacobian(t: float, y: np.ndarray, yp: np.ndarray, JJ: np.ndarray) -> None:
            JJ[:] = sample.jacobian(y)

        return {"linsolver": "dense", "jacfn": jacobian}


class CVODEStepper:
    """An integration by CVODE as a `Stepper`."""

    def __init__(self, solver: Any, z: np.ndarray) -> None:
        self._solver = solver
        self._solver.init_step(0.0, z)
        self.t, self.step_size, self.y = 0.0, 0.0, z

    def step(self) -> str | None:
        """Make a step; return why, if there can be none."""
        result = self._solver.step(FOREVER, method="onestep")
        if not result.success:
            return str(result.message)
        self.step_size, self.t, self.y = result.t - self.t, result.t, result.y
        return None
