"""One step of an integration under error control: attempt, accept or reject, choose the next step size."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from equilib.ode.flow import Flow, FlowPoint, after
from equilib.ode.integrator import Integrator, Memory, Step
from equilib.ode.step_control import Controller, ControlState

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
    integrator: Integrator,
    flow: Flow,
    state: StepState,
    active: np.ndarray,
    end: np.ndarray | None = None,
    largest: float | None = None,
    controller: Controller | None = None,
) -> tuple[StepState, Step]:
    """Attempt one step in the lanes that are `active`, `largest` at most; lanes with an error of at most 1 accept it.

    Where a lane would pass its time `end`, shape (lanes,), its step is shortened so that it lands there exactly. A step
    is the difference of two times as they are held, and goes at least to the next of them. The controller is the
    integrator's, unless there is one.
    """
    t0 = state.point.t
    h = state.h if largest is None else np.clip(state.h, -largest, largest)
    moved = after(t0, h)
    if end is not None:
        moved = np.where(np.abs(h) * STRETCH >= np.abs(end - t0), end, moved)
    if np.count_nonzero(active) < len(active):
        h, moved = np.where(active, h, 0.0), np.where(active, moved, t0)
    proposed, h = np.where(moved == t0 + h, h, moved - t0), moved - t0
    attempt = integrator.attempt(flow, state.point, h, state.memory)
    accepted = active & (attempt.error <= 1)
    t = np.where(accepted, moved, t0)
    point, memory = integrator.advance(flow, state.point, t, attempt, accepted, state.memory)
    factor = attempt.factor
    if factor is None:
        way = controller or integrator.controller
        factor = way.factor(attempt.error, accepted, state.control, attempt.order)
    following = StepState(point, proposed * factor, state.control.after(attempt.error, accepted), memory)
    step = Step(start=state.point, end=point, h=h, accepted=accepted, attempt=attempt, memory=state.memory)
    return following, step


def vanished(state: StepState, step: Step) -> np.ndarray:
    """Tell in which lanes, shape (lanes,), a step was rejected and no shorter one leads to another time."""
    t = state.point.t
    shorter = np.abs(t + state.h - t)
    return np.asarray(~step.accepted & (step.h != 0) & ((shorter == 0) | (shorter >= np.abs(step.h))))
