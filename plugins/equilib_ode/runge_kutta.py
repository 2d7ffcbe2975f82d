"""Explicit Runge-Kutta methods with an embedded error estimate and an interpolant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import ClassVar

import numpy as np

from equilib.arrays import Array
from equilib.ode import (
    Attempt,
    Controller,
    Flow,
    FlowPoint,
    Linearize,
    Memory,
    PIController,
    Stability,
    Step,
    StepCotangents,
    Traits,
)
from equilib.options import Checked
from equilib_ode.tableau import ButcherTableau

STIFF = "kencarp47, bdf or auto"
"""What to take where the steps of an explicit method are bounded by stability."""


@dataclass(frozen=True)
class Tabulated(Checked):
    """A method given by its tableau; its last stage is at the end of the step, and the first of the next."""

    tableau: ClassVar[ButcherTableau]

    @property
    def order(self) -> int:
        """Order of accuracy."""
        return self.tableau.order

    def begin(self, flow: Flow, start: FlowPoint) -> Memory:
        """Return nothing: the derivative at the start is in the point."""
        return Memory()

    def advance(
        self, flow: Flow, start: FlowPoint, t: np.ndarray, attempt: Attempt, accepted: np.ndarray, memory: Memory
    ) -> tuple[FlowPoint, Memory]:
        """Take the last stage as the derivative at the new point."""
        y = flow.select(accepted, attempt.y, start.y)
        return FlowPoint(t, y, flow.select(accepted, attempt.stages[-1], start.dy)), attempt.memory

    def interpolant(self, flow: Flow, step: Step) -> list[Array]:
        """Return h Σ bᵢ(θ) kᵢ by powers of θ."""
        by_power = np.asarray(self.tableau.interpolant).T.tolist()
        return [flow.sum(step.h, weights, step.attempt.stages) for weights in by_power]


@dataclass(frozen=True)
class RungeKutta(Tabulated):
    """An explicit method: a step costs stages − 1 evaluations."""

    controller: ClassVar[Controller] = PIController(safety=0.92, alpha=0.9, beta=0.1, first_largest=30.0)
    """In the long run it keeps the error of a step at 60 % of the tolerance: γ^(5/0.8). That of a first step may be but
    rounding, beyond which it says nothing of the next."""
    traits: ClassVar[Traits] = Traits(steady_controller=PIController(), one_step=True)
    """Where stability bounds the step, more damping and a smaller error save rejections."""

    @property
    def stability(self) -> Stability:
        """How far it is stable."""
        return Stability(self.tableau.stability_interval, STIFF)

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step of size h."""
        stages, before_last = inner_stages(flow, self.tableau, start, h)
        stages = (*stages, flow(start.t + h, before_last))
        error = self.error(flow, start, h, stages, before_last)
        return Attempt(y=before_last, error=error, order=self.order, stages=stages)

    def error(self, flow: Flow, start: FlowPoint, h: np.ndarray, stages: tuple[Array, ...], y: Array) -> np.ndarray:
        """Return the norm of the estimated error of the step to y, shape (lanes,)."""
        return error_norm(flow, self.tableau, start, h, stages, y)

    def pull_step(
        self, flow: Flow, linearize: Linearize, start: FlowPoint, h: np.ndarray, bars: StepCotangents
    ) -> tuple[Array, Array]:
        """Go back through the stages (Hager 2000, Numer. Math. 87, 247-282).

        Where the stages are evaluated, the end of the step and what is interpolated are all y + h Σ wⱼ kⱼ: a cotangent
        u of such a sum adds u to that of y, and h wⱼ u to that of kⱼ.
        """
        a, c = self.tableau.a, self.tableau.c
        # The last derivative belongs to the next step, and to the interpolant.
        count = len(a) if bars.dy is not None or bars.inside else len(a) - 1
        stages, pulls = [start.dy], []
        for i in range(1, count):
            linear, pull = linearize(start.t + c[i] * h, flow.combine(start.y, h, a[i], stages))
            stages.append(linear.value)
            pulls.append(pull)
        return through_stages(flow, self.tableau, h, pulls, bars)


def through_stages(
    flow: Flow, tableau: ButcherTableau, h: np.ndarray, pulls: Sequence[Callable[[Array], Array]], bars: StepCotangents
) -> tuple[Array, Array]:
    """Return the cotangents of y(t) and y'(t), as `StagedIntegrator.pull_step` does.

    `pulls` take the cotangent of each stage after the first to that of y + h Σⱼ aᵢⱼ kⱼ, j < i.
    """
    interpolant = np.asarray(tableau.interpolant)
    powers = np.arange(1, interpolant.shape[1] + 1)[:, None]
    weights: list[Sequence[float | np.ndarray]] = [tableau.a[-1]]
    weights += [list(interpolant @ theta**powers) for theta, _ in bars.inside]
    cotangents = [bars.y, *(bar for _, bar in bars.inside)]

    def of_stage(j: int) -> Array:
        return flow.sum(h, [row[j] if j < len(row) else 0.0 for row in weights], cotangents)

    for j in range(len(pulls), 0, -1):
        bar = of_stage(j)
        if j == len(tableau.a) - 1 and bars.dy is not None:
            bar = bar + bars.dy
        cotangents.append(pulls[j - 1](bar))
        weights.append(tableau.a[j][:j])
    return reduce(add, cotangents), of_stage(0)


def inner_stages(
    flow: Flow, tableau: ButcherTableau, start: FlowPoint, h: np.ndarray
) -> tuple[tuple[Array, ...], Array]:
    """Return the derivatives of all stages but the last, and where the last is evaluated: the end of the step."""
    stages = [start.dy]
    for c, row in zip(tableau.c[1:-1], tableau.a[1:-1], strict=True):
        stages.append(flow(start.t + c * h, flow.combine(start.y, h, row, stages)))
    return tuple(stages), flow.combine(start.y, h, tableau.a[-1], stages)


def error_norm(
    flow: Flow, tableau: ButcherTableau, start: FlowPoint, h: np.ndarray, stages: tuple[Array, ...], y: Array
) -> np.ndarray:
    """Return the norm of the estimated error of a step from `start` to y, shape (lanes,)."""
    return flow.error_norm(flow.sum(h, tableau.error, stages), start, y)
