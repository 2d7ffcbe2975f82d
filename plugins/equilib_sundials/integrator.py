"""CVODE as an integrator of y' = f(t, y)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from equilib.ode import Start, System
from equilib.options import option
from equilib_sundials.library import CVODEMethod, CVODEStepper, check_size


@dataclass(frozen=True)
class CVODEIntegrator(CVODEMethod):
    """CVODE of SUNDIALS, with its error norm, order and step size control.

    Raises
    ------
    ValueError
        If an option is out of its range, or, when it runs with a dense linear solver, if the system is larger than
        `largest`.
    """

    together: ClassVar[bool] = True

    largest: int = option(
        2000,
        help="elements of a system, a sample or else the batch, beyond which it refuses dense Jacobians",
        minimum=1,
    )

    @property
    def order(self) -> int:
        """The highest order of the method."""
        return {"bdf": 5, "adams": 12}[self.method]

    def stepper(self, system: System, start: Start) -> CVODEStepper:
        """Begin an integration."""
        check_size(system.size, self.linear_solver, self.largest)
        return self.begin(
            system,
            system.jacobian,
            start,
        )
