"""Output times of an integration, and the solution there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from equilib.arrays import Array
from equilib.ode.flow import Flow
from equilib.ode.integrator import Integrator, Step
from equilib.ode.trajectory import Segment


def checked_times(t: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the times on the host, shape (times,); raises ValueError if they are not monotonic and finite."""
    try:
        times = np.asarray(t, dtype=np.float64)
    except (TypeError, ValueError):  # no numbers
        times = np.zeros(0)
    steps = np.diff(times) if times.ndim == 1 else np.zeros(0)
    monotonic = steps.size > 0 and bool(np.all(steps > 0) or np.all(steps < 0))
    if not (monotonic and np.isfinite(times).all()):
        raise ValueError(f"t must be two or more finite times, increasing or decreasing, got {t!r}")
    return times


def segment_of(flow: Flow, integrator: Integrator, step: Step) -> Segment:
    """Return the polynomial of an accepted step."""
    return Segment(step.start.t, step.end.t, step.start.y, integrator.interpolant(flow, step))


def write_outputs(
    flow: Flow, integrator: Integrator, step: Step, times: np.ndarray, outputs: list[Array]
) -> list[Array]:
    """Return `outputs`, y at each of `times`, with those replaced that the step passed or reached."""
    written = list(outputs)
    segment: Segment | None = None
    for index, at_end, inside in passed_outputs(step.start.t, step.end.t, step.accepted, times):
        if at_end.any():
            written[index] = flow.select(at_end, step.end.y, written[index])
        if inside.any():
            segment = segment or segment_of(flow, integrator, step)
            value = segment(flow, np.where(inside, times[index], step.start.t))
            written[index] = flow.select(inside, value, written[index])
    return written


def passed_outputs(
    start: np.ndarray, end: np.ndarray, accepted: np.ndarray, times: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield the places of the output times that a step from `start` to `end` passes, the initial time excluded.

    With each come the lanes, shape (lanes,), that reach it at the end of the step, and those that do inside it.
    """
    direction = np.sign(times[-1] - times[0])
    passed = (direction * times > np.min(direction * start)) & (direction * times <= np.max(direction * end))
    for index in map(int, np.flatnonzero(passed)):
        t = times[index]
        inside = accepted & (direction * (t - start) > 0) & (direction * (end - t) > 0)
        yield index, accepted & (end == t), inside
