"""CVODE of scikit-sundae, made and stepped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib.ode import Interpolant, Start
from equilib.options import Checked, option

METHODS = {"bdf": "BDF", "adams": "Adams"}
LINEAR_SOLVERS = ("gmres", "bicgstab", "tfqmr", "dense")

NODES = 13
"""Points of a step through which its interpolating polynomial is laid: CVODE's is of degree 12 at most."""

FOREVER = 1e10
"""A time that is not reached, for an interval without an end; CVODE takes from it which way time goes."""


def check_size(size: int, linear_solver: str, largest: int) -> None:
    """Refuse a system for whose dense Jacobian there may be no memory.

    Raises
    ------
    ValueError
        With the way out, if Jacobians are dense and the system is larger than `largest`.
    """
    if linear_solver == "dense" and size > largest:
        raise ValueError(
            f"linear_solver=dense makes a Jacobian of {size}×{size} numbers per sample, beyond the option "
            f"largest={largest}: raise it, or use linear_solver=gmres"
        )


@dataclass(frozen=True)
class CVODEMethod(Checked):
    """How CVODE makes a step: what all that is done with it has to choose."""

    method: str = option("bdf", help="linear multistep method", choices=tuple(METHODS))
    linear_solver: str = option(
        "gmres",
        help="for Newton's method in a step: by difference quotients of f, or with dense Jacobians",
        choices=LINEAR_SOLVERS,
    )
    krylov_size: int = option(10, help="products in one linear solve at most", minimum=1)

    def begin(
        self,
        rhs: Callable[[float, np.ndarray], np.ndarray],
        jacobian: Callable[[float, np.ndarray], np.ndarray],
        start: Start,
    ) -> CVODEStepper:
        """Return an integration by CVODE that stands at its start."""
        # Deferred: an optional extra.
        from sksundae.cvode import CVODE as Library  # noqa: N811 - its name is that of the solver here

        def rhsfn(t: float, y: np.ndarray, yp: np.ndarray) -> None:
            yp[:] = rhs(t, y)

        def jacfn(t: float, y: np.ndarray, yp: np.ndarray, JJ: np.ndarray) -> None:
            JJ[:] = jacobian(t, y)

        linear = {"linsolver": "dense", "jacfn": jacfn}
        if self.linear_solver != "dense":
            linear = {"linsolver": self.linear_solver, "krylov_dim": self.krylov_size}
        steps = {"first_step": start.first_step, "max_step": start.longest_step}
        direction = 1.0 if start.end > start.t else -1.0
        options = {name: value for name, value in steps.items() if value is not None and np.isfinite(value)}
        if "first_step" in options:
            options["first_step"] = direction * min(options["first_step"], abs(start.end - start.t))
        solver = Library(rhsfn, method=METHODS[self.method], rtol=start.rtol, atol=start.atol, **options, **linear)
        return CVODEStepper(solver, start)


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
