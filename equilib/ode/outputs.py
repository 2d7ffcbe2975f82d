"""Output times of an integration, and the solution there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from equilib.arrays import Array, array_namespace
from equilib.ode.flow import Flow
from equilib.ode.integrator import Integrator, Step
from equilib.ode.trajectory import Segment


def lane_times(times: np.ndarray, lanes: int) -> np.ndarray:
    """Return output times as those of every lane, shape (times, lanes)."""
    return times if times.ndim == 2 else np.repeat(times[:, None], lanes, axis=1)


def initial_outputs(times: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the places of the output times, shape (times, lanes), that are initial ones, and the lanes, (lanes,)."""
    initial = times == times[0]
    for index in map(int, np.flatnonzero(initial.any(axis=1))):
        yield index, initial[index]


def passed_outputs(
    start: np.ndarray, end: np.ndarray, times: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield the places of the output times, shape (times, lanes), that a step from `start` to `end` passes.

    With each come the lanes, shape (lanes,), that reach it at the end of the step, and those that do inside it. What
    is initial is not passed, and a lane that rests passes nothing.
    """
    direction = np.sign(end - start)
    passed = (direction * (times - start) > 0) & (direction * (end - times) >= 0)
    for index in map(int, np.flatnonzero(passed.any(axis=1))):
        at_end = passed[index] & (times[index] == end)
        yield index, at_end, passed[index] & ~at_end


def unwritten(flow: Flow, y0: Array, times: np.ndarray) -> list[Array]:
    """Return y at each of `times`, shape (times, lanes), before the first step: nan, but y0 where that is initial."""
    like = flow.zeros()
    outputs = [array_namespace(like).full_like(like, np.nan) for _ in times]
    for index, lanes in initial_outputs(times):
        outputs[index] = flow.select(lanes, y0, outputs[index])
    return outputs


def write_outputs(
    flow: Flow, integrator: Integrator, step: Step, times: np.ndarray, outputs: list[Array]
) -> list[Array]:
    """Return `outputs`, y at each of `times`, (times, lanes), with those replaced that the step passed or reached.

    A time of nan is never reached.
    """
    written = list(outputs)
    segment: Segment | None = None
    for index, at_end, inside in passed_outputs(step.start.t, step.end.t, times):
        if at_end.any():
            written[index] = flow.select(at_end, step.end.y, written[index])
        if inside.any():
            segment = segment or segment_of(flow, integrator, step)
            value = segment(flow, np.where(inside, times[index], step.start.t))
            written[index] = flow.select(inside, value, written[index])
    return written


def segment_of(flow: Flow, integrator: Integrator, step: Step) -> Segment:
    """Return the polynomial of an accepted step."""
    return Segment(step.start.t, step.end.t, step.start.y, integrator.interpolant(flow, step))
