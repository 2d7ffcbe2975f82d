"""One step of an integration under error control: attempt, accept or reject, choose the next step size."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from equilib.ode.flow import Flow, FlowPoint
from equilib.ode.integrator import Integrator, Memory, Step
from equilib.ode.step_control import ControlState

SMALLEST_STEP = 10 * float(np.finfo(np.float64).eps)
"""A step that is shorter than this part of the time, or of the interval, does not move."""

STRETCH = 1.01
"""A step may be so much longer to land on the end, where else a sliver would be left (Hairer & Wanner's codes)."""


@dataclass(frozen=True)
class StepState:
    """Where an integration stands.

    `h`, shape (lanes,), is the size of the next step, signed, 0 in lanes that have ended; `memory` is the integrator's.
    """

    point: FlowPoint
    h: np.ndarray
    control: ControlState
    memory: Memory = field(repr=False)


def begin(integrator: Integrator, flow: Flow, start: FlowPoint, h: np.ndarray) -> StepState:
    """Return the state before the first step, of size h."""
    return StepState(start, h, ControlState.start(flow.lanes), integrator.begin(flow, start))


def take_step(
    integrator: Integrator, flow: Flow, state: StepState, active: np.ndarray, end: np.ndarray | None = None
) -> tuple[StepState, Step]:
    """Attempt one step in the lanes that are `active`; lanes with an error of at most 1 accept it.

    Where a lane would pass its time `end`, shape (lanes,), its step is shortened so that it lands there exactly.
    """
    h = np.where(active, state.h, 0.0)
    landing = np.zeros(flow.lanes, dtype=bool)
    if end is not None:
        left = end - state.point.t
        landing = active & (np.abs(h) * STRETCH >= np.abs(left))
        h = np.where(landing, left, h)
    attempt = integrator.attempt(flow, state.point, h, state.memory)
    accepted = active & (attempt.error <= 1)
    moved = state.point.t + h
    t = np.where(accepted, moved if end is None else np.where(landing, end, moved), state.point.t)
    point, memory = integrator.advance(flow, state.point, t, attempt, accepted, state.memory)
    factor = integrator.controller.factor(attempt.error, accepted, state.control, attempt.order)
    following = StepState(point, h * factor, state.control.after(attempt.error, accepted), memory)
    step = Step(start=state.point, end=point, h=h, accepted=accepted, attempt=attempt, memory=state.memory)
    return following, step
