"""The Adams-Bashforth method of order 3 with variable steps.

Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, §III.5, eqs. 5.9 and 5.10. With h = hₙ, h₁ = hₙ₋₁
and h₂ = hₙ₋₂

    φ₁(n) = fₙ,   φᵢ₊₁(n) = φᵢ(n) − φ*ᵢ(n−1),   φ*ᵢ(n) = βᵢ φᵢ(n),   β = 1, h/h₁, β₂ (h + h₁)/(h₁ + h₂)

    yₙ₊₁ = yₙ + h φ*₁ + (h/2) φ*₂ + g₃ φ*₃,   g₃ = h (1/2 − h/(6 (h + h₁))).

The error estimate h g₃ φ*₃ is what the order 3 adds to the order 2: it is known before f is evaluated, so a step that
it rejects costs no evaluation. It looks back only. A step that it accepts is compared with the slope at its end, which
the next step begins with: the estimate is then the larger of itself and h g₃ φ₄(n+1), the difference between the slope
that was extrapolated and the one found. The first two steps are Bogacki & Shampine's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from equilib.arrays import Array
from equilib.ode import Attempt, Controller, Flow, FlowPoint, Memory, PIController, Stability, Step, Traits, hermite
from equilib.options import Checked
from equilib_ode.bs3 import BS3
from equilib_ode.runge_kutta import STIFF, error_norm, inner_stages

RAMP = 2
"""Accepted steps of the Runge-Kutta method before there is a history."""


SAFETY = 0.77
"""In the long run the controller keeps the error of a step at this to the power of 10, 7 % of the tolerance."""


class History(NamedTuple):
    """The accepted steps of each lane: how many were taken, and the sizes of the last two; all of shape (lanes,)."""

    taken: np.ndarray
    h1: np.ndarray
    h2: np.ndarray


@dataclass(frozen=True)
class VCAB3(Checked):
    """Variable-step Adams-Bashforth of order 3: one evaluation per accepted step, one or none per rejected one."""

    order: ClassVar[int] = 3
    stability: ClassVar[Stability] = Stability(6 / 11, STIFF)
    controller: ClassVar[Controller] = PIController(safety=SAFETY, largest=2.0, first_largest=10.0)
    """Short steps: there are many of them, and their errors add up."""
    traits: ClassVar[Traits] = Traits()

    def begin(self, flow: Flow, start: FlowPoint) -> Memory:
        """Return φ*₁ and φ*₂ of no step yet."""
        ones = np.ones(flow.lanes)
        return Memory((flow.zeros(), flow.zeros()), History(0 * ones, ones, ones))

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step of size h: by Adams-Bashforth in lanes that have a history, else by Runge-Kutta."""
        history: History = memory.host
        ramp, h1, h2 = history.taken < RAMP, history.h1, history.h2
        ramps = np.count_nonzero(ramp)
        if ramps:
            ramp &= h != 0
            ramps = np.count_nonzero(ramp)
            h1 = np.where(history.taken > 0, h1, np.where(h != 0, h, 1.0))
            h2 = np.where(history.taken > 1, h2, h1)
        beta2 = h / h1
        beta3 = beta2 * (h + h1) / (h1 + h2)
        first, second = memory.arrays
        phi2 = start.dy - first
        phi3 = phi2 - second
        kept = Memory((start.dy, flow.sum(beta2, (1.0,), (phi2,))), History(history.taken + 1, h, h1))
        if ramps == len(ramp):
            return self._ramp(flow, start, h, kept)
        g3 = 0.5 - h / (6 * (h + h1))
        y = flow.combine(start.y, h, (1.0, beta2 / 2, g3 * beta3), (start.dy, phi2, phi3))
        gain = flow.sum(h, (g3 * beta3,), (phi3,))
        error = flow.error_norm(gain, start, y)
        adams = Attempt(y=y, error=error, order=3, memory=kept)
        if not ramps and not np.count_nonzero(error <= 1):
            return adams
        # The evaluation at the end of the step serves both methods.
        stages: tuple[Array, ...] = ()
        if ramps:
            stages, bs3 = inner_stages(flow, BS3, start, h)
            y = flow.select(ramp, bs3, y)
        end = flow(start.t + h, y)
        surprise = flow.sum(h * g3, (1.0,), (end - kept.arrays[0] - kept.arrays[1],)) - gain
        error = np.where(error <= 1, np.maximum(error, flow.error_norm(surprise, start, y)), error)
        if ramps:
            error = np.where(ramp, error_norm(flow, BS3, start, h, (*stages, end), y), error)
        return replace(adams, y=y, error=error, stages=(end,))

    def _ramp(self, flow: Flow, start: FlowPoint, h: np.ndarray, kept: Memory) -> Attempt:
        stages, y = inner_stages(flow, BS3, start, h)
        stages = (*stages, flow(start.t + h, y))
        return Attempt(y=y, error=error_norm(flow, BS3, start, h, stages, y), order=3, stages=stages[-1:], memory=kept)

    def advance(
        self, flow: Flow, start: FlowPoint, t: np.ndarray, attempt: Attempt, accepted: np.ndarray, memory: Memory
    ) -> tuple[FlowPoint, Memory]:
        """Evaluate at the new point where that is not done; lanes that reject the step keep their history."""
        count = np.count_nonzero(accepted)
        if not count:
            return start, memory
        if count == len(accepted) and attempt.stages:
            return FlowPoint(t, attempt.y, attempt.stages[0]), attempt.memory
        y = flow.select(accepted, attempt.y, start.y)
        dy = attempt.stages[0] if attempt.stages else flow(t, y)
        arrays = tuple(flow.select(accepted, *pair) for pair in zip(attempt.memory.arrays, memory.arrays, strict=True))
        host = History(*(np.where(accepted, *pair) for pair in zip(attempt.memory.host, memory.host, strict=True)))
        return FlowPoint(t, y, flow.select(accepted, dy, start.dy)), Memory(arrays, host)

    def interpolant(self, flow: Flow, step: Step) -> list[Array]:
        """Return the cubic through both ends with their derivatives."""
        return hermite(flow, step)
