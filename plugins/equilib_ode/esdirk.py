"""Singly diagonally implicit Runge-Kutta methods with an explicit first stage (ESDIRK), for stiff equations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from equilib.arrays import Array
from equilib.ode import Attempt, Controller, Flow, FlowPoint, Memory, PIController, Step
from equilib.ode.newton import Implicit, Jacobian
from equilib_ode.tableau import ButcherTableau

SLOW = 0.02
"""Rate of Newton's method above which a matrix is renewed at the next step."""


@dataclass(frozen=True)
class Cache:
    """The Jacobian of the last step, and how fast Newton's method converged, shape (lanes,)."""

    jacobian: Jacobian
    rate: np.ndarray


@dataclass(frozen=True)
class ESDIRK(Implicit):
    """A method given by its tableau; its last stage is the end of the step, and the first of the next.

    Stage i solves kᵢ = f(t + cᵢ h, y + h Σⱼ aᵢⱼ kⱼ); all have one γ = aᵢᵢ, and with it one matrix I − h γ J.
    """

    tableau: ClassVar[ButcherTableau]
    controller: ClassVar[Controller] = PIController()

    @property
    def order(self) -> int:
        """Order of accuracy."""
        return self.tableau.order

    def begin(self, flow: Flow, start: FlowPoint) -> Memory:
        """Return nothing: the derivative at the start is in the point."""
        return Memory()

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step of size h."""
        a, c = self.tableau.a, self.tableau.c
        cache: Cache | None = memory.cache
        known, rate = (None, None) if cache is None else (cache.jacobian, cache.rate)
        slow = np.ones(flow.lanes, dtype=bool) if known is None or known.matrix is None else cache.rate > SLOW
        jacobian = self.jacobian(flow, start, known, slow if known is None else slow & (known.t != start.t))
        newton = self.newton(flow, h * a[-1][-1], jacobian, rate)
        stages, y = [start.dy], start.y
        for node, row, guess in zip(c[1:], a[1:], self.tableau.predictors[1:], strict=True):
            base = flow.combine(start.y, h, row[:-1], stages)
            guessed = flow.sum(newton.c, guess, stages)
            slope = flow.implicit_slope(newton, start, start.t + node * h, base, guessed)
            y = flow.combine(base, h, row[-1:], (slope,))
            stages.append(slope)
        stale = ~newton.solved & (jacobian.t != start.t)
        if stale.any():
            renewed = self.jacobian(flow, start, jacobian, stale)
            return self.attempt(flow, start, h, memory._replace(cache=Cache(renewed, np.where(stale, 1.0, rate))))
        estimate = newton.filtered(flow, flow.sum(h, self.tableau.error, stages))
        error = newton.error(flow.error_norm(estimate, start, y))
        kept = memory._replace(cache=Cache(jacobian, newton.rate))
        return Attempt(y=y, error=error, order=self.order, stages=tuple(stages), memory=kept)

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
