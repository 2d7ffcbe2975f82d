"""The time steppers of `scipy.integrate` as solvers: the steady state of z' = f(z) − z."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from equilib import Evaluator
from equilib.arrays import Array
from equilib.libraries import BridgeState, Sample, integrate_to_rest, run_samples
from equilib.numerics.dense import JACOBIANS
from equilib.options import Checked, option
from equilib_scipy.call import LARGEST, check_size
from equilib_scipy.stepper import STEP_RTOL, ScipyStepper
from equilib_scipy.versions import lsoda_shares


@dataclass(frozen=True)
class _Steady(Checked):
    """A stepper of `scipy.integrate`, each sample with its own time; a step is an accepted time step.

    It converges to fixed points where all eigenvalues λ of the Jacobian of f have Re λ < 1: also where f is expansive.
    The tolerance of a step is relative to the residual, apart from the tolerance of the solve; the time scale is 1, and
    a bound on the step keeps a map without a fixed point from running off to where any residual is relatively small.
    """

    stepper: ClassVar[str]

    step_rtol: float = option(0.01, help="error of a time step relative to the residual", exclusive_minimum=0.0)
    first_step: float = option(0.5, help="size of the first time step", exclusive_minimum=0.0)
    longest_step: float = option(10.0, help="bound of the size of a time step", exclusive_minimum=0.0)

    def run(self, f: Evaluator, z0: Array, max_steps: int) -> BridgeState:
        """Integrate every sample by itself."""
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
            jacobian=self._jacobian_kind(),
            together=self.together(),
        )

    def _beginner(self, sample: Sample) -> Callable[[np.ndarray, float, float], ScipyStepper]:
        from scipy import integrate

        method = getattr(integrate, self.stepper)

        def begin(z: np.ndarray, atol: float, first_step: float) -> ScipyStepper:
            return ScipyStepper(
                method(
                    lambda t, y: sample.residual(y),
                    0.0,
                    z,
                    np.inf,
                    first_step=first_step,
                    max_step=self.longest_step,
                    rtol=STEP_RTOL,  # the absolute one, which follows the residual, is what counts
                    atol=atol,
                    **self._derivative(sample),
                )
            )

        return begin

    def _derivative(self, sample: Sample) -> dict[str, Any]:
        return {}

    def _jacobian_kind(self) -> str:
        return "exact"

    def together(self) -> bool:
        """Tell whether the library can be called again before it returns, so that samples can share evaluations."""
        return True


@dataclass(frozen=True)
class RK45(_Steady):
    """Dormand & Prince's Runge-Kutta method of order 5."""

    stepper = "RK45"


@dataclass(frozen=True)
class DOP853(_Steady):
    """Dormand & Prince's Runge-Kutta method of order 8."""

    stepper = "DOP853"


@dataclass(frozen=True)
class _Implicit(_Steady):
    """A stepper that solves with dense Jacobians."""

    jacobian: str = option(
        "exact", help="products J·v (exact) or difference quotients, one per element of z", choices=JACOBIANS
    )
    largest: int = option(LARGEST, help="elements of a sample beyond which it refuses to work", minimum=1)

    def run(self, f: Evaluator, z0: Array, max_steps: int) -> BridgeState:
        """Integrate every sample by itself."""
        check_size(prod(z0.shape[1:]), self.largest, f"scipy:{self.stepper.lower()}")
        return super().run(f, z0, max_steps)

    def _derivative(self, sample: Sample) -> dict[str, Any]:
        return {"jac": lambda t, y: sample.jacobian(y)}

    def _jacobian_kind(self) -> str:
        return self.jacobian


@dataclass(frozen=True)
class BDF(_Implicit):
    """Backward differentiation formulas of order 1 to 5."""

    stepper = "BDF"


@dataclass(frozen=True)
class Radau(_Implicit):
    """The Radau IIA method of order 5."""

    stepper = "Radau"


@dataclass(frozen=True)
class LSODA(_Implicit):
    """Adams methods that turn into backward differentiation formulas where the equation is stiff."""

    stepper = "LSODA"

    def together(self) -> bool:
        """Tell whether this SciPy's LSODA keeps nothing in global variables."""
        return lsoda_shares()
