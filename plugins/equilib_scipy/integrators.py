"""The time steppers of `scipy.integrate` as integrators of y' = f(t, y)."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from equilib.numerics.dense import JACOBIANS, require_small
from equilib.ode import Interpolant, Start, System
from equilib.options import Checked, option
from equilib_scipy.call import JACOBIAN, LARGEST

STEP_RTOL = 100 * float(np.finfo(np.float64).eps)
"""SciPy's least relative tolerance."""


class ScipyStepper:
    """A `scipy.integrate.OdeSolver` as a `TimeStepper`."""

    def __init__(self, solver: Any) -> None:
        self.solver = solver

    def step(self) -> str | None:
        """Make a step; return why, if there can be none."""
        message = self.solver.step()
        return str(message) if self.solver.status == "failed" else None

    @property
    def t(self) -> float:
        """The time after the last step."""
        return float(self.solver.t)

    @property
    def y(self) -> np.ndarray:
        """The solution after the last step."""
        return np.asarray(self.solver.y)

    @property
    def step_size(self) -> float:
        """Size of the last step."""
        return float(self.solver.step_size)

    def interpolant(self) -> Interpolant:
        """Return SciPy's dense output of the last step."""
        dense = self.solver.dense_output()
        return lambda t: np.asarray(dense(t))


@dataclass(frozen=True)
class _Stepping(Checked):
    """The stepper of `scipy.integrate` of the same name, with its error norm, step size control and dense output."""

    order: ClassVar[int]

    @property
    def together(self) -> bool:
        """Whether several integrations may be under way at a time."""
        return True

    def stepper(self, system: System, start: Start) -> ScipyStepper:
        """Begin an integration; evaluates f where no first step is given."""
        # Deferred: SciPy takes longer to load than everything else an integration needs.
        from scipy import integrate

        first = None if start.first_step is None else min(start.first_step, abs(start.end - start.t))
        return ScipyStepper(
            getattr(integrate, type(self).__name__)(
                system,
                start.t,
                start.y,
                start.end,
                first_step=first,
                max_step=start.largest_step,
                rtol=self._rtol(start),
                atol=start.atol,
                **self._derivative(system),
            )
        )

    def _derivative(self, system: System) -> dict[str, Any]:
        return {}

    def _rtol(self, start: Start) -> Any:
        return np.maximum(start.rtol, STEP_RTOL)


@dataclass(frozen=True)
class RK45(_Stepping):
    """Dormand & Prince's Runge-Kutta method of order 5."""

    order = 5


@dataclass(frozen=True)
class DOP853(_Stepping):
    """Dormand & Prince's Runge-Kutta method of order 8."""

    order = 8


@dataclass(frozen=True)
class _Implicit(_Stepping):
    """A stepper that solves with dense Jacobians."""

    jacobian: str = option("auto", help=f"{JACOBIAN}; auto is exact but in odeint", choices=("auto", *JACOBIANS))
    largest: int = option(LARGEST, help="refuse systems, a sample or else the batch, of more elements", minimum=1)

    def require_size(self, size: int) -> None:
        """Refuse systems of more elements than `largest`; raises StateTooLargeError."""
        require_small(size, self.largest, solver=f"scipy:{type(self).__name__.lower()}", instead="scipy:dop853")

    def stepper(self, system: System, start: Start) -> ScipyStepper:
        """Begin an integration; raises StateTooLargeError if the system is larger than the option `largest` says."""
        self.require_size(system.size)
        return super().stepper(system, start)

    def _derivative(self, system: System) -> dict[str, Any]:
        return {"jac": system.jacobian(self.jacobian)}

    def _rtol(self, start: Start) -> Any:
        return max(start.one_rtol(f"scipy:{type(self).__name__.lower()}"), STEP_RTOL)


@dataclass(frozen=True)
class BDF(_Implicit):
    """Backward differentiation formulas of order 1 to 5."""

    order = 5


@dataclass(frozen=True)
class Radau(_Implicit):
    """The Radau IIA method of order 5."""

    order = 5


@dataclass(frozen=True)
class LSODA(_Implicit):
    """Adams methods that turn into backward differentiation formulas where the equation is stiff."""

    order = 12

    @property
    def together(self) -> bool:
        """Whether this SciPy's LSODA keeps nothing in global variables."""
        # Until 1.17 it is Fortran with global variables, of which SciPy allows one instance at a time.
        import scipy

        return tuple(int(part) for part in scipy.__version__.split(".")[:2]) >= (1, 17)

    def stepper(self, system: System, start: Start) -> ScipyStepper:
        """Begin an integration; raises StateTooLargeError if the system is larger than the option `largest` says."""
        made = super().stepper(system, start)
        # SciPy 1.17 refers for ever to the array that it works in, 8·n² bytes; its dense output is a copy.
        integrator = getattr(getattr(made.solver, "_lsoda_solver", None), "_integrator", None)
        work = getattr(integrator, "rwork", None)
        if isinstance(work, np.ndarray):
            weakref.finalize(made, work.resize, 0, refcheck=False).atexit = False
        return made
