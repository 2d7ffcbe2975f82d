"""CVODE as an integrator of y' = f(t, y)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from equilib.numerics.dense import JACOBIANS, require_small
from equilib.ode import Start, System
from equilib.options import Checked, option
from equilib_sundials.stepper import CVODEStepper

METHODS = {"bdf": "BDF", "adams": "Adams"}
LINEAR_SOLVERS = ("gmres", "bicgstab", "tfqmr", "dense")


@dataclass(frozen=True)
class CVODE(Checked):
    """CVODE of SUNDIALS, with its error norm, order and step size control."""

    together: ClassVar[bool] = True

    method: str = option("bdf", help="linear multistep method", choices=tuple(METHODS))
    linear_solver: str = option(
        "gmres",
        help="for Newton's method in a step: by difference quotients of f, or with dense Jacobians",
        choices=LINEAR_SOLVERS,
    )
    krylov_size: int = option(10, help="products in one linear solve at most", minimum=1)
    jacobian: str = option(
        "exact",
        help="dense Jacobian: exact, by products J·v, or by difference quotients, one per element; "
        "odeint has the latter",
        choices=JACOBIANS,
    )
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
        """Begin an integration.

        Raises StateTooLargeError if Jacobians are dense and the system is larger than `largest`.
        """
        if self.linear_solver == "dense":
            require_small(system.size, self.largest, solver="linear_solver=dense", instead="linear_solver=gmres")
        # Deferred: an optional extra.
        from sksundae.cvode import CVODE as Library  # noqa: N811 - its name is that of the integrator here

        def rhsfn(t: float, y: np.ndarray, yp: np.ndarray) -> None:
            yp[:] = system(t, y)

        def jacfn(t: float, y: np.ndarray, yp: np.ndarray, JJ: np.ndarray) -> None:
            JJ[:] = system.jacobian(t, y, self.jacobian)

        options: dict[str, Any] = {"linsolver": self.linear_solver, "krylov_dim": self.krylov_size}
        if self.linear_solver == "dense":
            options = {"linsolver": "dense", "jacfn": jacfn}
        if np.isfinite(start.longest_step):
            options["max_step"] = start.longest_step
        if start.first_step is not None:
            options["first_step"] = np.copysign(min(start.first_step, abs(start.end - start.t)), start.end - start.t)
        solver = Library(rhsfn, method=METHODS[self.method], rtol=start.rtol, atol=start.atol, **options)
        return CVODEStepper(solver, start)
