"""Singly diagonally implicit Runge-Kutta methods with an explicit first stage (ESDIRK), for stiff equations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
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
    StepCotangents,
    Traits,
)
from equilib.ode.newton import Implicit, Jacobian, of_stage
from equilib_ode.runge_kutta import Tabulated, through_stages

SLOW = 0.02
"""Rate of Newton's method above which a matrix is renewed at the next step."""

SIGHT = 0.04
"""Weight of the first slope in the error estimate. Embedded methods that are L-stable leave it out, and with it what f
does before the first implicit stage. Where it must vanish, in stiff components, it is filtered twice."""


@dataclass(frozen=True)
class Cache:
    """The Jacobian of the last step, and how fast Newton's method converged, shape (lanes,)."""

    jacobian: Jacobian
    rate: np.ndarray


@dataclass(frozen=True)
class ESDIRK(Implicit, Tabulated):
    """A method whose stage i solves kᵢ = f(t + cᵢ h, y + h Σⱼ aᵢⱼ kⱼ); one γ = aᵢᵢ makes one matrix I − h γ J."""

    controller: ClassVar[Controller] = PIController()
    traits: ClassVar[Traits] = Traits(solves_slopes=True, one_step=True)

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step of size h."""
        a, c = self.tableau.a, self.tableau.c
        cache: Cache | None = memory.cache
        known, rate = (None, None) if cache is None else (cache.jacobian, cache.rate)
        slow = np.ones(flow.lanes, dtype=bool) if known is None or known.matrix is None else cache.rate > SLOW
        jacobian = self.jacobian(flow, start, known, slow if known is None else slow & (known.t != start.t))
        trusted = None if rate is None else np.where(jacobian.t == start.t, rate, np.inf)
        newton = self.newton(flow, h * a[-1][-1], jacobian, trusted)
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
        unseen = newton.filtered(flow, flow.sum(h * SIGHT, self.tableau.first_slope, stages))
        estimate = newton.filtered(flow, flow.sum(h, self.tableau.error, stages) + unseen)
        error = newton.error(flow.error_norm(estimate, start, y))
        kept = memory._replace(cache=Cache(jacobian, newton.rate))
        return Attempt(y=y, error=error, order=self.order, stages=tuple(stages), memory=kept)

    def pull_step(
        self, flow: Flow, linearize: Linearize, start: FlowPoint, h: np.ndarray, bars: StepCotangents
    ) -> tuple[Array, Array]:
        """Go back through the stages: from k̄ᵢ by s = (I − h γ J)⁻ᵀ k̄ᵢ and Jᵀ s, with the J of the stage."""
        again, diagonal = self.attempt(flow, start, h, Memory()), h * self.tableau.a[-1][-1]
        newton = self.newton(flow, diagonal, again.memory.cache.jacobian)

        def back(i: int, bar: Array) -> Array:
            place = flow.combine(start.y, h, self.tableau.a[i], again.stages[: i + 1])
            linear, pull = linearize(start.t + self.tableau.c[i] * h, place)
            return pull(newton.solve_transposed(of_stage(linear, flow.coefficient(diagonal)), bar))

        pulls = [partial(back, i) for i in range(1, len(again.stages))]
        return through_stages(flow, self.tableau, h, pulls, bars)
