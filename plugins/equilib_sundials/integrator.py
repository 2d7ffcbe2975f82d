"""CVODE as an integrator of y' = f(t, y)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from equilib.checks import check_options
from equilib.ode.library import Start, System
from equilib.options import option
from equilib_sundials.library import LINEAR_SOLVERS, METHODS, CVODEStepper, check_size, make_solver


@dataclass(frozen=True)
class CVODEIntegrator:
    """CVODE of SUNDIALS, with its error norm, order and step size control.

    Raises
    ------
    ValueError
        If an option is out of its range, or, when it runs with a dense linear solver, if the system is larger than
        `largest`.
    """

    together: ClassVar[bool] = True

    method: str = option("bdf", help="linear multistep method", choices=tuple(METHODS))
    linear_solver: str = option(
        "gmres",
        help="for Newton's method in a step: by difference quotients of f, or with dense Jacobians",
        choices=LINEAR_SOLVERS,
    )
    krylov_size: int = option(10, help="products in one linear solve at most", minimum=1)
    largest: int = option(
        2000,
        help="elements of a system, a sample or else the batch, beyond which it refuses dense Jacobians",
        minimum=1,
    )

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def order(self) -> int:
        """The highest order of the method."""
        return {"bdf": 5, "adams": 12}[self.method]

    def stepper(self, system: System, start: Start) -> CVODEStepper:
        """Begin an integration."""
        check_size(system.size, self.linear_solver, self.largest)
        return make_solver(
            system,
            system.jacobian,
            start,
            method=self.method,
            linear_solver=self.linear_solver,
            krylov_size=self.krylov_size,
        )
