"""`odeint`: the only time-stepping loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from equilib.arrays import Array, Tree, array_namespace, samples_as_rows, to_host
from equilib.fixed_points.arguments import check_kind, check_state
from equilib.fixed_points.evaluator import Counts, counted
from equilib.fixed_points.options import component, overridden
from equilib.fixed_points.problem import Linearization
from equilib.fixed_points.solution import check_success
from equilib.ode.event_search import EventSearch
from equilib.ode.events import Event, EventLog, checked_events, event_values
from equilib.ode.flow import ErrorNorm, Flow, FlowPoint, lane_rms, tolerance_norm, too_coarse
from equilib.ode.integrator import FixedStepIntegrator, Integrator, Step
from equilib.ode.library import AnyIntegrator, LibraryIntegrator
from equilib.ode.library_run import LibraryRun
from equilib.ode.outputs import Times, checked_times, lane_times, segment_of, unwritten, write_outputs
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import (
    IntegrationError,
    IntegrationWarning,
    OdeOptions,
    OdeSolution,
    OdeStatus,
    StepRecord,
    status_of_samples,
)
from equilib.ode.step_control import first_step as estimate_first_step
from equilib.ode.stepping import StepState, begin, take_step, vanished
from equilib.ode.stiffness import BoundedIntegrator, complaints
from equilib.ode.stops import checked_stops, stretches
from equilib.ode.trajectory import Segment, Trajectory
from equilib.ode.trees import StateTree, is_tree


def odeint(
    f: OdeProblem | Callable[[Array, Tree], Tree],
    y0: Tree,
    t: Times,
    integrator: AnyIntegrator,
    options: OdeOptions | None = None,
    *,
    dense: bool = False,
    states: bool = False,
    error_norm: ErrorNorm | None = None,
    stops: Sequence[float] = (),
    events: Sequence[Event] = (),
    **overrides: Any,
) -> OdeSolution:
    """Integrate y' = f(t, y) from y(t[0]) = y0, and return y at the times t.

    Parameters
    ----------
    f : OdeProblem or callable
        Maps (t, y) to an array of the shape and dtype of y; t is an array that broadcasts against y, of shape
        (1, ..., 1), or (batch, 1, ..., 1) with `per_sample`.
    y0 : array, shape (batch, ...), or tree of such arrays
        The initial value; its dtype is the dtype of the integration. Of a tree, a dict, tuple or list of arrays with
        one batch axis and one dtype, f returns the like, with a t that has as many axes as the leaf with the fewest; y
        is such a tree, and tolerances of each component are for all leaves in a row.
    t : sequence of float, or array, shape (times,) or (times, batch)
        Two or more times, increasing or decreasing, which may repeat: with `per_sample` each sample may have its own.
        The steps do not depend on those between the first and the last.
    integrator : Integrator or LibraryIntegrator
        The method. A library's runs on the host, in float64, with steps of its own; f keeps its dtype and device.
    options : OdeOptions, optional
        Tolerances, limits, and whether samples step by themselves. By default the batch steps as one system; then a
        sample's answer depends, within the tolerance, on the others.
    dense : bool
        Whether to keep the solution as a function of time, `OdeSolution.trajectory`.
    states : bool
        Whether to keep the state before each step in `OdeSolution.record`: the discrete adjoint then need not
        integrate again.
    error_norm : callable, optional
        Replaces the norm of the acceptance test; see `equilib.ode.flow.ErrorNorm`. A library has its own.
    stops : sequence of float
        Times at which f, or a derivative of f, jumps: a step ends there, and the integration begins anew. Before and
        after it f is evaluated at times that are a float away, so what f is at a stop does not matter.
    events : sequence of Event
        What to look for, in `OdeSolution.events`, with `per_sample` or a batch of one: each step is searched, at
        `equilib.ode.event_search.PLACES`, for changes of sign, which are located on its interpolant to rounding.
    **overrides
        Fields of `OdeOptions`, as in `odeint(f, y0, t, integrator, rtol=1e-6)`.

    Raises
    ------
    IntegrationError
        With `on_failure="raise"`, if some sample did not reach the end; its `solution` holds what was reached.
    TypeError
        If an argument is not what it must be, or an override is not a field of `OdeOptions`.
    ValueError
        If t is not monotonic and finite, a stop is no finite time, y0 has no batch axis, an option is out of its range,
        f does not keep shape and dtype, or there are events where the batch steps as one.
    """
    options = overridden(OdeOptions, options, overrides, "odeint")
    tree = StateTree(y0) if is_tree(y0) else None
    if tree is not None:
        f, y0, events = tree.problem(f), tree.pack(y0), [tree.event(event) for event in checked_events(events)]
    check_state(y0, "y0")
    if y0.ndim < 1:
        raise ValueError("y0 needs a batch axis: give it the shape (1, ...) if there is one sample")
    times = checked_times(t, y0.shape[0], per_sample=options.per_sample)
    check_kind(integrator, "integrator", "integrator")
    if not isinstance(f, OdeProblem):
        check_kind(f, "f", "map of t and y")
        f = OdeProblem(f)
    counts = Counts()
    problem, stops = counted(f, counts), checked_stops(stops)
    problem = problem.with_fine_times() if stops else problem  # a float beside a stop is none in single precision
    events = checked_events(events, samples_alone=options.per_sample or y0.shape[0] == 1)
    # Overflow and invalid operations are what the error test looks for.
    with np.errstate(all="ignore"):
        if isinstance(integrator, LibraryIntegrator):
            solution = LibraryRun(problem, y0, times, integrator, options, stops, events, dense=dense).run()
        else:
            integration = _Integration(problem, y0, times, integrator, options, stops, events, error_norm)
            solution = integration.run(dense=dense, states=states)
    solution = replace(solution, nfe=counts.nfe, njvp=counts.njvp, stops=stops)
    solution = solution if tree is None else tree.solution(solution)
    check_success(solution, options.on_failure, IntegrationError, IntegrationWarning)
    return solution


@dataclass
class _Integration:
    """One call of `odeint`."""

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
        norm = self.error_norm or tolerance_norm(rtol, atol, self.lanes)
        self.flow = Flow(self._slope, self.y0, self.lanes, norm, linearize=self._linearize)
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
        outputs = unwritten(self.flow, self.y0, self.times)
        segments: list[Segment] = []
        t, y, left = self.times[0], self.y0, self.options.max_steps
        if isinstance(self.integrator, FixedStepIntegrator):  # whose steps are what was asked for
            left = max(left, self.integrator.steps + len(self.stops) + 1)
        for number, stretch in enumerate(stretches(self.times, self.stops)):
            self.stretch = stretch
            state = self._start(t, y)
            while left and (active := self._running(state)).any():
                left -= 1
                self._refine_times(state.point.t, state.h)
                limits = stretch.end, self.options.largest_step
                state, step = take_step(self.integrator, self.flow, state, active, *limits)
                self._account(state, step, active)
                if step.accepted.any():
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
            self.problem, self.narrow = self.problem.with_fine_times(), False

    def _slope(self, t: np.ndarray, y: Array) -> Array:
        return self.problem.at(self.stretch.inside(t), y)

    def _linearize(self, t: np.ndarray, y: Array) -> Linearization:
        return self.problem.linearize_at(self.stretch.inside(t), y)

    def _running(self, state: StepState) -> np.ndarray:
        return np.asarray((self.status == OdeStatus.RUNNING) & (state.point.t != self.stretch.end))

    def _start(self, t: np.ndarray, y: Array) -> StepState:
        """Begin a stretch."""
        self._refine_times(t, self.stretch.end - t)
        start = FlowPoint(t, y, self.flow(t, y))
        finite = np.isfinite(lane_rms(start.dy, self.lanes)) & np.isfinite(lane_rms(start.y, self.lanes))
        self.status[(self.status == OdeStatus.RUNNING) & ~finite] = OdeStatus.NONFINITE
        if not finite.all():
            self.suspect = ~_finite_samples(start.dy) | ~_finite_samples(start.y)
        span = self.stretch.end - t
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
            self.suspect = ~_finite_samples(y)

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
            self.suspect = ~_finite_samples(step.attempt.y)

    def _event_values(self, t: np.ndarray, y: Array) -> np.ndarray:
        return event_values(self.events, self.problem.time(t, y), y)

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
        point, h = state.point, state.h
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
            trajectory=trajectory,
            integrator=self.integrator,
            options=self.options,
            record=tuple(self.records),
            fine_times=self.problem.fine,
            events=self.log.records(),
            messages=self.messages,
        )


def _finite_samples(array: Array) -> np.ndarray:
    xp = array_namespace(array)
    return np.asarray(to_host(xp.all(xp.isfinite(samples_as_rows(array)), axis=1)))
