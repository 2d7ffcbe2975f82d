"""The contract of a library's integrator: it steps one system at a time, on the host, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from equilib.errors import UserError
from equilib.ode.integrator import Integrator

Interpolant = Callable[[float], np.ndarray]
"""Maps a time in a step to the solution there, shape (size,)."""


Jacobian: TypeAlias = Callable[[float, np.ndarray], np.ndarray]
"""Maps a time and y, shape (size,), to ∂f/∂y, shape (size, size), float64."""


class System:
    """What a library sees of one lane: y' = f(t, y) with y of float64, shape (size,), and t a number.

    f returns None once the work is called off; then the slope is zero, which ends every library's loop. `jacobian` maps
    a kind to a `Jacobian`: "exact", by `size` products J·v; "difference", by size + 1 evaluations; or "auto", which is
    "exact" in `SteadyState` and "difference" in `integrate`. For the latter it returns None where f is computed in
    float64, for which the library's own difference quotients are made. `slope` is what was evaluated last, and `finite`
    tells whether it is.
    """

    def __init__(
        self,
        f: Callable[[float, np.ndarray], np.ndarray | None],
        jacobian: Callable[[str], Jacobian | None],
        size: int,
    ) -> None:
        self.jacobian, self.size, self.finite = jacobian, size, True
        self.slope = np.zeros(size)
        self._f = f

    def __call__(self, t: float, y: np.ndarray) -> np.ndarray:
        """Return f(t, y), a new array of shape (size,)."""
        slope = self._f(t, y)
        if slope is None:
            return np.zeros(self.size)
        self.slope, self.finite = slope, bool(np.isfinite(slope).all())
        return slope.copy()


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where and how an integration begins: at `t`, with y of shape (size,).

    `end` may be before `t`, or infinite; a `first_step` of None leaves its size to the library. Tolerances are numbers,
    or have the shape (size,).
    """

    t: float
    end: float
    y: np.ndarray
    rtol: float | np.ndarray
    atol: float | np.ndarray
    first_step: float | None = None
    largest_step: float = np.inf

    def one_rtol(self, name: str) -> float:
        """Return the relative tolerance as a number; raises UserError, in the integrator's name, where it is none."""
        if isinstance(self.rtol, np.ndarray):
            raise UserError(f"{name} takes one rtol for all components; give rtol a number, and atol the array")
        return self.rtol


class TimeStepper(Protocol):
    """**Protocol:** an integration that makes one accepted step at a time, and lands on the end exactly."""

    def step(self) -> str | None:
        """Make a step; return why, if there can be none."""

    @property
    def t(self) -> float:
        """The time after the last step."""

    @property
    def y(self) -> np.ndarray:
        """The solution after the last step, shape (size,)."""

    @property
    def step_size(self) -> float:
        """Size of the last step."""

    def interpolant(self) -> Interpolant:
        """Return the solution in the last step; it holds when further steps have been made."""


@runtime_checkable
class LibraryIntegrator(Protocol):
    """**Protocol:** the integrator of a library, one of SciPy's for example, with its own steps and error norm.

    1. Be a frozen dataclass; its fields are its options.
    2. Evaluate f only through the system.
    3. A `ValueError` or an `ArithmeticError`, but a `UserError`, is taken for a reason why there can be no step; other
       exceptions reach the user.
    """

    @property
    def order(self) -> int:
        """Order of accuracy; where it varies, the highest."""

    @property
    def together(self) -> bool:
        """Whether several integrations may be under way at a time."""

    def stepper(self, system: System, start: Start) -> TimeStepper:
        """Begin an integration."""


AnyIntegrator: TypeAlias = Integrator | LibraryIntegrator
"""What `integrate` and `SteadyState` take."""
