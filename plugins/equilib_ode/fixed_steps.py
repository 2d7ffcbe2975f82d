"""Explicit Runge-Kutta methods with a given number of equal steps: Euler's, the midpoint rule, and the classical one.

Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, §II.1. Between the steps of the last two stands the
cubic through both ends with their derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from equilib.arrays import Array
from equilib.ode import Controller, ControlState, Flow, FlowPoint, Traits
from equilib.options import option
from equilib_ode.runge_kutta import RungeKutta
from equilib_ode.tableau import ButcherTableau

EULER = ButcherTableau(
    a=((), (1.0,)),
    error=(0.0, 0.0),
    interpolant=((1.0,), (0.0,)),
    order=1,
    embedded_order=1,
    interpolant_order=1,
)
MIDPOINT = ButcherTableau(
    a=((), (1 / 2,), (0.0, 1.0)),
    error=(0.0, 0.0, 0.0),
    interpolant=((1.0, -2.0, 1.0), (0.0, 3.0, -2.0), (0.0, -1.0, 1.0)),
    order=2,
    embedded_order=2,
    interpolant_order=2,
)
CLASSICAL = ButcherTableau(
    a=((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
    error=(0.0, 0.0, 0.0, 0.0, 0.0),
    interpolant=((1.0, -3 / 2, 2 / 3), (0.0, 1.0, -2 / 3), (0.0, 1.0, -2 / 3), (0.0, 1 / 2, -1 / 3), (0.0, -1.0, 1.0)),
    order=4,
    embedded_order=4,
    interpolant_order=3,
)


@dataclass(frozen=True)
class KeepingController:
    """Keep the step size, unless what was computed is not finite: no shorter step may follow then."""

    def factor(
        self, error: np.ndarray, accepted: np.ndarray, state: ControlState, order: np.ndarray | int
    ) -> np.ndarray:
        """Return 1 or 0, shape (lanes,)."""
        return np.where(np.isfinite(error), 1.0, 0.0)


@dataclass(frozen=True)
class FixedSteps(RungeKutta):
    """A method that divides the interval into `steps` equal steps, whatever the tolerance."""

    controller: ClassVar[Controller] = KeepingController()
    traits: ClassVar[Traits] = Traits(one_step=True)

    steps: int = option(100, help="divide the interval into so many steps", minimum=1)

    def error(self, flow: Flow, start: FlowPoint, h: np.ndarray, stages: tuple[Array, ...], y: Array) -> np.ndarray:
        """Return 0, shape (lanes,), where y is finite, else nan."""
        return flow.error_norm(y - y, start, y)


@dataclass(frozen=True)
class Euler(FixedSteps):
    """Euler's method of order 1, one evaluation a step."""

    tableau: ClassVar[ButcherTableau] = EULER


@dataclass(frozen=True)
class Midpoint(FixedSteps):
    """The explicit midpoint rule of order 2, two evaluations a step."""

    tableau: ClassVar[ButcherTableau] = MIDPOINT


@dataclass(frozen=True)
class RK4(FixedSteps):
    """The classical Runge-Kutta method of order 4, four evaluations a step."""

    tableau: ClassVar[ButcherTableau] = CLASSICAL
