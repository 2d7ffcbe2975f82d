"""CVODE of scikit-sundae as an integrator of y' = f(t, y)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from equilib.numerics.dense import JACOBIANS, require_small
from equilib.ode import Interpolant, Start, System
from equilib.options import Checked, option

METHODS = {"bdf": "BDF", "adams": "Adams"}
LINEAR_SOLVERS = ("auto", "gmres", "bicgstab", "tfqmr", "dense")

SMALL = 100
"""The size of a system up to which "auto" solves with dense Jacobians."""


NODES = 13
"""Points of a step through which its interpolating polynomial is laid: CVODE's is of degree 12 at most."""

FOREVER = 1e10
"""A time that is not reached, for an interval without an end; CVODE takes from it which way time goes."""


class CVODEStepper:
    """An integration by CVODE as a `TimeStepper`."""

    def __init__(self, solver: Any, start: Start) -> None:
        self._solver = solver
        self._solver.init_step(start.t, start.y)
        self._end = start.end if np.isfinite(start.end) else None
        self.t, self.y, self._before = start.t, start.y, start.t

    @property
    def step_size(self) -> float:
        """Size of the last step."""
        return abs(self.t - self._before)

    def step(self) -> str | None:
        """Make a step; return why, if there can be none."""
        target = FOREVER if self._end is None else self._end
        result = self._solver.step(target, method="onestep", tstop=self._end)
        if not result.success:
            return str(result.message)
        self._before, self.t, self.y = self.t, float(result.t), np.array(result.y)
        return None

    def interpolant(self) -> Interpolant:
        """Return the polynomial through CVODE's own interpolant at the Chebyshev points of the last step."""
        angles = np.pi * np.arange(NODES) / (NODES - 1)
        points = self._before + (self.t - self._before) * (1 - np.cos(angles)) / 2
        # The end last, and exactly: where CVODE answered earlier, its next step would be the way back there.
        points[-1] = self.t
        values = np.stack([self._solver.step(float(t), method="normal").y for t in points])
        weights = (-1.0) ** np.arange(NODES)
        weights[[0, -1]] /= 2

        def interpolant(t: float) -> np.ndarray:
            distances = t - points
            if not distances.all():
                return np.array(values[np.argmin(np.abs(distances))])
            ratios = weights / distances  # the barycentric formula (Berrut & Trefethen 2004, SIAM Review 46, eq. 5.4)
            return np.asarray(ratios @ values / ratios.sum())

        return interpolant


@dataclass(frozen=True)
class CVODE(Checked):
    """CVODE of SUNDIALS, with its error norm, order and step size control."""

    together: ClassVar[bool] = True

    method: str = option("bdf", help="choose the linear multistep method", choices=tuple(METHODS))
    linear_solver: str = option(
        "auto",
        help="solve Newton's equation in a step by difference quotients of f, or with dense Jacobians; auto takes "
        f"these in odeint for up to {SMALL} elements, else gmres",
        choices=LINEAR_SOLVERS,
    )
    krylov_size: int = option(10, help="end a linear solve after so many products", minimum=1)
    jacobian: str = option(
        "auto",
        help="compute the dense Jacobian: exact, by products J·v, or by difference quotients, one per element; "
        "auto is exact but in odeint",
        choices=("auto", *JACOBIANS),
    )
    largest: int = option(
        2000,
        help="refuse dense Jacobians of systems, a sample or else the batch, of more elements",
        minimum=1,
    )

    @property
    def order(self) -> int:
        """The highest order of the method."""
        return {"bdf": 5, "adams": 12}[self.method]

    def require_size(self, size: int) -> None:
        """Refuse systems of more elements than `largest` where Jacobians are dense; raises StateTooLargeError."""
        if self.linear_solver == "dense":
            require_small(size, self.largest, solver="linear_solver=dense", instead="linear_solver=gmres")

    def stepper(self, system: System, start: Start) -> CVODEStepper:
        """Begin an integration.

        Raises StateTooLargeError if Jacobians are dense and the system is larger than `largest`.
        """
        linear_solver = self.linear_solver
        if linear_solver == "auto":
            small = system.size <= min(SMALL, self.largest) and np.isfinite(start.end)
            linear_solver = "dense" if small else "gmres"
        self.require_size(system.size)
        # Deferred: an optional extra.
        from sksundae.cvode import CVODE as Library  # noqa: N811 - its name is that of the integrator here

        def rhsfn(t: float, y: np.ndarray, yp: np.ndarray) -> None:
            yp[:] = system(t, y)

        options: dict[str, Any] = {"linsolver": linear_solver, "krylov_dim": self.krylov_size}
        if linear_solver == "dense":
            options = {"linsolver": "dense"}
            if (jacobian := system.jacobian(self.jacobian)) is not None:

                def jacfn(t: float, y: np.ndarray, yp: np.ndarray, JJ: np.ndarray) -> None:
                    JJ[:] = jacobian(t, y)

                options["jacfn"] = jacfn
        if np.isfinite(start.largest_step):
            options["max_step"] = start.largest_step
        if start.first_step is not None:
            options["first_step"] = np.copysign(min(start.first_step, abs(start.end - start.t)), start.end - start.t)
        solver = Library(rhsfn, method=METHODS[self.method], rtol=start.one_rtol("cvode"), atol=start.atol, **options)
        return CVODEStepper(solver, start)
