"""Explicit Runge-Kutta methods with an embedded error estimate and an interpolant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from equilib.arrays import Array
from equilib.ode.flow import Flow, Point
from equilib.ode.integrator import Attempt, Memory, Step
from equilib.ode.step_control import Controller, PIController
from equilib_ode.tableau import ButcherTableau


@dataclass(frozen=True)
class RungeKutta:
    """A method given by its tableau: a step costs stages − 1 evaluations, as its first stage is the last one's last."""

    tableau: ClassVar[ButcherTableau]

    @property
    def order(self) -> int:
        """Order of accuracy."""
        return self.tableau.order

    @property
    def controller(self) -> Controller:
        """Proportional-integral."""
        return PIController()

    def begin(self, flow: Flow, start: Point) -> Memory:
        """Return nothing: the derivative at the start is in the point."""
        return Memory()

    def attempt(self, flow: Flow, start: Point, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step of size h."""
        stages, before_last = inner_stages(flow, self.tableau, start, h)
        stages = (*stages, flow(start.t + h, before_last))
        error = error_norm(flow, self.tableau, start, h, stages, before_last)
        return Attempt(y=before_last, error=error, order=self.order, stages=stages)

    def advance(
        self, flow: Flow, start: Point, t: np.ndarray, attempt: Attempt, accepted: np.ndarray, memory: Memory
    ) -> tuple[Point, Memory]:
        """Take the last stage as the derivative at the new point."""
        y = flow.select(accepted, attempt.y, start.y)
        return Point(t, y, flow.select(accepted, attempt.stages[-1], start.dy)), memory

    def interpolant(self, flow: Flow, step: Step) -> list[Array]:
        """Return h Σ bᵢ(θ) kᵢ by powers of θ."""
        return [
            flow.sum(step.h, weights, step.attempt.stages)
            for weights in np.asarray(self.tableau.interpolant).T.tolist()
        ]


def inner_stages(flow: Flow, tableau: ButcherTableau, start: Point, h: np.ndarray) -> tuple[tuple[Array, ...], Array]:
    """Return the derivatives of all stages but the last, and where the last is evaluated: the end of the step."""
    stages = [start.dy]
    for c, row in zip(tableau.c[1:-1], tableau.a[1:-1], strict=True):
        stages.append(flow(start.t + c * h, flow.combine(start.y, h, row, stages)))
    return tuple(stages), flow.combine(start.y, h, tableau.a[-1], stages)


def error_norm(
    flow: Flow, tableau: ButcherTableau, start: Point, h: np.ndarray, stages: tuple[Array, ...], y: Array
) -> np.ndarray:
    """Return the norm of the estimated error of a step from `start` to y, shape (lanes,)."""
    return flow.error_norm(flow.sum(h, tableau.error, stages), start, y)
