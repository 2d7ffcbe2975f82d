"""The only time-stepping loop: one integration by an integrator of ours, step after step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equilib.arrays import Array, array_namespace
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.options import component
from equilib.ode.event_search import EventSearch
from equilib.ode.events import Event, EventLog, event_values
from equilib.ode.flow import (
    ErrorNorm,
    Flow,
    FlowPoint,
    checked_norm,
    finite_samples,
    lane_rms,
    tolerance_norm,
    too_coarse,
)
from equilib.ode.integrator import FixedStepIntegrator, Integrator, Step
from equilib.ode.outputs import lane_times, segment_of, unwritten, write_outputs
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeOptions, OdeSolution, OdeStatus, StepRecord, status_of_samples
from equilib.ode.step_control import first_step as estimate_first_step
from equilib.ode.stepping import StepState, begin, take_step, vanished
from equilib.ode.stiffness import BoundedIntegrator, complaints
from equilib.ode.stops import Stretch, stretches
from equilib.ode.trajectory import Segment, Trajectory

RECENT = 10
"""Steps of which the longest tells whether stability bounds them: the last attempts may all have been rejected."""


@dataclass
class _Field:
    """f on the stretch at hand; methods of the integration would be a circle, and keep its steps for the collector."""

    problem: OdeProblem
    stretch: Stretch

    def slope(self, t: np.ndarray, y: Array) -> Array:
        return self.problem.at(self.stretch.inside(t), y)

    def linearize(self, t: np.ndarray, y: Array) -> Linearization:
        return self.problem.linearize_at(self.stretch.inside(t), y)


@dataclass
class Integration:
    """One call of `integrate`."""

    problem: OdeProblem
    y0: Array
    t: np.ndarray
    integrator: Integrator
    options: OdeOptions
    stops: Sequence[float]
    events: Sequence[Event]
    error_norm: ErrorNorm | None

    def __post_init__(self) -> None:
        self.lanes = self.y0.shape[0] if self.options.per_sample else 1
        self.times = lane_times(self.t, self.lanes)
        rtol, atol = (component(self.options, name, self.y0) for name in ("rtol", "atol"))
        own = self.error_norm
        norm = tolerance_norm(rtol, atol, self.lanes) if own is None else checked_norm(own, self.lanes)
        self.field = _Field(self.problem, stretches(self.times, self.stops)[0])
        self.flow = Flow(self.field.slope, self.y0, self.lanes, norm, linearize=self.field.linearize)
        self.narrow = array_namespace(self.y0).finfo(self.y0.dtype).bits < 64
        self.status = np.full(self.lanes, OdeStatus.RUNNING, dtype=object)
        self.accepted = np.zeros(self.lanes, dtype=int)
        self.rejected = np.zeros(self.lanes, dtype=int)
        self.suspect = np.ones(self.y0.shape[0], dtype=bool)
        self.records: list[StepRecord] = []
        # Where lanes end by an event; and the output times, nan where a lane ended before.
        self.ended, self.pending = np.full(self.lanes, np.nan), self.times
        self.search = EventSearch(self.events, self._event_values(self.times[0], self.y0))
        self.log = EventLog(self.events, self.y0)

    def run(self, *, dense: bool, states: bool) -> OdeSolution:
        """Step from the first time to the last."""
        outputs = unwritten(self.flow, self.y0, self.times)
        segments: list[Segment] = []
        t, y, left = self.times[0], self.y0, self.options.max_steps
        if isinstance(self.integrator, FixedStepIntegrator):  # whose steps are what was asked for
            left = max(left, self.integrator.steps + len(self.stops) + 1)
        for number, stretch in enumerate(stretches(self.times, self.stops)):
            self.field.stretch = stretch
            state = self._start(t, y)
            while left and np.count_nonzero(active := self._running(state)):
                left -= 1
                self._refine_times(state.point.t, state.h)
                limits = stretch.end, self.problem.longest_step(state.point.t, self.options.largest_step)
                state, step = take_step(self.integrator, self.flow, state, active, *limits)
                self._account(state, step, active)
                if np.count_nonzero(step.accepted):
                    before = (step.start.y, step.start.dy, step.memory.arrays) if states else None
                    record = StepRecord(step.h, step.end.t, step.accepted, step.memory.host, number, before)
                    self.records.append(record)
                    segment = segment_of(self.flow, self.integrator, step) if dense or self.events else None
                    if segment and self.events:
                        segment = self._look(step, segment)
                    outputs = write_outputs(self.flow, self.integrator, step, self.pending, outputs)
                    if segment and dense:
                        segments.append(segment)
            t, y = state.point.t, state.point.y
            self._finish((self.status == OdeStatus.RUNNING) & (t == self.times[-1]), y)
            if not (left and (self.status == OdeStatus.RUNNING).any()):
                break
        self.status[self.status == OdeStatus.RUNNING] = OdeStatus.MAX_STEPS
        self.messages = self._complaints(state)
        trajectory = Trajectory(segments or [Segment(self.times[0], self.times[0], self.y0, [])], self.flow)
        return self._solution(t, array_namespace(self.y0).stack(outputs), trajectory if dense else None)

    def _refine_times(self, t: np.ndarray, h: np.ndarray) -> None:
        if self.narrow and too_coarse(t, h, self.y0):
            self.field.problem, self.narrow = self.field.problem.with_fine_times(), False

    def _running(self, state: StepState) -> np.ndarray:
        return np.asarray((self.status == OdeStatus.RUNNING) & (state.point.t != self.field.stretch.end))

    def _start(self, t: np.ndarray, y: Array) -> StepState:
        """Begin a stretch."""
        self._refine_times(t, self.field.stretch.end - t)
        start = FlowPoint(t, y, self.flow(t, y))
        finite = np.isfinite(lane_rms(start.dy, self.lanes)) & np.isfinite(lane_rms(start.y, self.lanes))
        self.status[(self.status == OdeStatus.RUNNING) & ~finite] = OdeStatus.NONFINITE
        if not finite.all():
            self.suspect = ~finite_samples(start.dy) | ~finite_samples(start.y)
        span = self.field.stretch.end - t
        if self.options.first_step is not None:
            h = np.sign(span) * np.minimum(self.options.first_step, np.abs(span))
        elif isinstance(self.integrator, FixedStepIntegrator):
            h = (self.times[-1] - self.times[0]) / self.integrator.steps
        elif ((self.status == OdeStatus.RUNNING) & (span != 0)).any():
            # What an error norm leaves out, as that of an adjoint does, is no reason for a short step.
            order, norm = self.integrator.order, lambda array: self.flow.error_norm(array, start, start.y)
            h = estimate_first_step(self.flow, start, span, order, norm)
        else:
            h = span
        return begin(self.integrator, self.flow, start, h)

    def _finish(self, arrived: np.ndarray, y: Array) -> None:
        finite = np.isfinite(lane_rms(y, self.lanes))  # which an error norm of the user's may not ask
        self.status[arrived & finite] = OdeStatus.FINISHED
        self.status[arrived & ~finite] = OdeStatus.NONFINITE
        if (arrived & ~finite).any():
            self.suspect = ~finite_samples(y)

    def _account(self, state: StepState, step: Step, active: np.ndarray) -> None:
        self.accepted += step.accepted
        rejected = active & ~step.accepted
        if not np.count_nonzero(rejected):
            return
        self.rejected += rejected
        stuck = vanished(state, step)
        finite = np.isfinite(step.attempt.error)
        self.status[stuck & finite] = OdeStatus.STEP_TOO_SMALL
        self.status[stuck & ~finite] = OdeStatus.NONFINITE
        if (stuck & ~finite).any():
            self.suspect = ~finite_samples(step.attempt.y)

    def _event_values(self, t: np.ndarray, y: Array) -> np.ndarray:
        return event_values(self.events, self.field.problem.time(t, y), y)

    def _look(self, step: Step, segment: Segment) -> Segment:
        """Search a step for events, end the lanes where a terminal one occurred, and return the step until then."""
        start, end, flow = step.start.t, step.end.t, self.flow
        last = self._event_values(end, step.end.y)
        found, limit = self.search.step(start, end, lambda t: self._event_values(t, segment(flow, t)), last)
        for event, t in found:
            y = segment(flow, np.where(np.isnan(t), start, t))
            for sample in np.flatnonzero(~np.isnan(t)).tolist():
                self.log.note(event, sample, float(t[sample]), y[sample, ...])
        ended = ~np.isnan(limit)
        if not ended.any():
            return segment
        self.status[ended], self.ended[ended] = OdeStatus.EVENT, limit[ended]
        self.pending = np.where(np.sign(end - start) * (self.times - limit) > 0, np.nan, self.pending)
        return segment.until(flow, limit)

    def _complaints(self, state: StepState) -> tuple[str, ...]:
        """Return for each lane that it is stiff, where that is why an explicit method failed."""
        steps = self.integrator.steps if isinstance(self.integrator, FixedStepIntegrator) else 0
        lost = self.status == (OdeStatus.NONFINITE if steps else OdeStatus.MAX_STEPS)
        if not (isinstance(self.integrator, BoundedIntegrator) and lost.any()):
            return ()
        point, h = state.point, np.max(np.abs([state.h, *(record.h for record in self.records[-RECENT:])]), axis=0)
        if steps:  # where it overflowed nothing can be seen
            t, h = self.times[0], (self.times[-1] - self.times[0]) / steps
            point = FlowPoint(t, self.y0, self.flow(t, self.y0))
        return tuple(complaints(self.integrator.stability, self.flow, point, h, lost))

    def _solution(self, t: np.ndarray, y: Array, trajectory: Trajectory | None) -> OdeSolution:
        batch = self.y0.shape[0]
        return OdeSolution(
            t=self.t,
            y=y,
            status=status_of_samples(list(self.status), self.suspect),
            reached=np.broadcast_to(np.where(np.isnan(self.ended), t, self.ended), (batch,)),
            accepted=np.broadcast_to(self.accepted, (batch,)),
            rejected=np.broadcast_to(self.rejected, (batch,)),
            dense=trajectory,
            integrator=self.integrator,
            options=self.options,
            record=tuple(self.records),
            fine_times=self.field.problem.fine,
            events=self.log.records(),
            messages=self.messages,
        )
