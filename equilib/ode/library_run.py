"""`integrate` by a library's integrator: one call of the library per lane, one call of f for all lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from typing import TypeAlias

import numpy as np

from equilib.arrays import Array, array_namespace, to_host
from equilib.errors import UserError
from equilib.fixed_points.options import component
from equilib.libraries.coroutine import BREAKDOWNS, Coroutine, run_in_lockstep
from equilib.numerics.dense import dense_jacobian, difference_jacobian
from equilib.ode.events import Event, EventLog, event_values
from equilib.ode.flow import Flow, too_coarse
from equilib.ode.joint import as_one
from equilib.ode.library import Interpolant, Jacobian, LibraryIntegrator, Start, System
from equilib.ode.library_events import LaneWatch, Question
from equilib.ode.library_segment import LibrarySegment, lanes_like
from equilib.ode.library_units import InUnits, Units
from equilib.ode.outputs import lane_times
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeOptions, OdeSolution, OdeStatus, status_of_samples
from equilib.ode.stops import Stretch, stretches
from equilib.ode.trajectory import Trajectory

Slope: TypeAlias = Callable[[float, np.ndarray], np.ndarray | None]
"""Maps a time and y, shape (size,), to the slope there; None where the work is called off."""

LEAP = 100.0
"""Times the way that the slopes at its ends make, and the tolerance, that no step may go: past the end of f's domain a
Newton matrix of before makes corrections vanish, and a library believes what it extrapolated."""


@dataclass
class _Lane:
    """The integration of one lane: y at the output times, and how far it came."""

    y: np.ndarray = field(repr=False)
    reached: float
    status: OdeStatus = OdeStatus.RUNNING
    message: str = ""
    ends: list[float] = field(default_factory=list)
    interpolants: list[Interpolant] = field(default_factory=list, repr=False)


@dataclass
class LibraryRun:
    """One call of `integrate` by a library's integrator."""

    problem: OdeProblem
    y0: Array
    t: np.ndarray
    integrator: LibraryIntegrator
    options: OdeOptions
    stops: Sequence[float]
    events: Sequence[Event]
    dense: bool

    def __post_init__(self) -> None:
        self.lanes = self.y0.shape[0] if self.options.per_sample else 1
        host = to_host(self.y0)
        self.resolution = float(array_namespace(self.y0).finfo(self.y0.dtype).eps)
        self.times = lane_times(self.t, self.lanes)
        self.stretches = stretches(self.times, self.stops)
        # What was asked for last in every lane: those that ask for nothing need some place, too.
        self.asked = self.stretches[0].inside(self.times[0]).copy()
        self.y = np.array(host.reshape(self.lanes, -1), dtype=np.float64)
        self.suspect = np.ones(self.y0.shape[0], dtype=bool)
        blank = np.where((self.times == self.times[0])[..., None], self.y, np.nan)
        self.log = EventLog(self.events, self.y0)
        self.results = [_Lane(blank[:, lane], self.times[0, lane]) for lane in range(self.lanes)]

    def run(self) -> OdeSolution:
        """Integrate every lane, together where the library can."""
        self._refine_times(self.times[0], self.times[-1] - self.times[0])
        slopes = self._slopes()
        finite = np.isfinite(self.y).all(axis=1) & np.isfinite(slopes).all(axis=1)
        for lane in np.flatnonzero(~finite):
            self.results[lane].status = OdeStatus.NONFINITE
        for lane in np.flatnonzero(finite & (self.times[-1] == self.times[0])):
            self.results[lane].status = OdeStatus.FINISHED
        lanes = [lane for lane, each in enumerate(self.results) if each.status is OdeStatus.RUNNING]
        for group in [lanes] if self.integrator.together else [[lane] for lane in lanes]:
            run_in_lockstep({lane: self._call(lane, slopes[lane]) for lane in group}, self._answers)
        return self._solution()

    def _call(self, lane: int, slope: np.ndarray) -> Coroutine[None]:
        call: Coroutine[None] = Coroutine(lambda: self._integrate(lane, call, f))
        known: list[tuple[Question, np.ndarray | None]] = [
            (Question(float(self.asked[lane]), self.y[lane].copy()), slope)
        ]

        def f(t: float, y: np.ndarray) -> np.ndarray | None:
            point, value = known[0]
            if point.t != t or not np.array_equal(point.y, y):
                point = Question(t, np.array(y, dtype=np.float64))
                value = call.ask(point)
                known[0] = (point, value)
            return None if value is None else value.copy()

        return call

    def _tolerance(self, name: str, lane: int) -> float | np.ndarray:
        value = component(self.options, name, self.y0)
        if isinstance(value, float):
            return value
        return np.array(np.broadcast_to(to_host(value), self.y0.shape).reshape(self.y.shape)[lane], dtype=np.float64)

    def _answers(self, waiting: dict[int, Question]) -> dict[int, np.ndarray]:
        # Jacobians wait until every lane wants one: they cost a product per column, for the batch.
        work = {"slope": self._slopes, "events": self._event_values, "jacobian": self._jacobians}
        kind = min((point.kind for point in waiting.values()), key=list(work).index)
        asked = {lane: point for lane, point in waiting.items() if point.kind == kind}
        for lane, point in asked.items():
            self.asked[lane], self.y[lane] = point.t, point.y
        found = work[kind]()
        return {lane: found[lane] for lane in asked}

    def _event_values(self) -> np.ndarray:
        y = lanes_like(self.y, self.y0)
        return event_values(self.events, self.problem.time(self.asked, y), y).T

    def _jacobians(self) -> np.ndarray:
        y = lanes_like(self.y, self.y0)
        linear = self.problem.linearize_at(self.asked, y)
        found = dense_jacobian(as_one(linear) if self.lanes == 1 else linear)
        return np.asarray(to_host(found), dtype=np.float64)

    def _slopes(self) -> np.ndarray:
        value = self.problem.at(self.asked.copy(), lanes_like(self.y, self.y0))
        slopes = np.asarray(to_host(value), dtype=np.float64)
        finite = np.asarray(np.isfinite(slopes.reshape(len(self.suspect), -1)).all(axis=1))
        if not finite.all():
            self.suspect = ~finite
        return slopes.reshape(self.y.shape)

    def _integrate(self, lane: int, call: Coroutine[None], f: Slope) -> None:
        result, y = self.results[lane], self.y[lane].copy()
        watch = LaneWatch(self.events, self.log, lane, call, float(self.times[0, lane]), y)
        for stretch in self.stretches:
            if stretch.start[lane] == stretch.end[lane]:
                continue
            start = self._beginning(stretch, lane, y)
            system = self._system(call, f, stretch, lane, start)
            slope = system(start.t, y)
            status = OdeStatus.GAVE_UP
            try:
                if system.finite:
                    stepper = InUnits(self.integrator, system, start, Units.of(start, slope))
                    status = self._follow(lane, stepper, system, start, watch)
            except UserError:
                raise
            except BREAKDOWNS as error:
                result.message = str(error)
            result.status = status if status is not OdeStatus.GAVE_UP or system.finite else OdeStatus.NONFINITE
            if status is not OdeStatus.FINISHED:
                return
            y = np.array(stepper.y)

    def _system(self, call: Coroutine[None], f: Slope, stretch: Stretch, lane: int, start: Start) -> System:
        def inside(t: float) -> float:
            # Time in a library's units may miss the end by a rounding.
            return min(max(t, float(stretch.least[lane])), float(stretch.greatest[lane]))

        def exact(t: float, y: np.ndarray) -> np.ndarray:
            found = call.ask(Question(inside(t), np.array(y, dtype=np.float64), "jacobian"))
            return np.zeros((y.size, y.size)) if found is None else np.asarray(found)

        def by_differences(t: float, y: np.ndarray) -> np.ndarray:
            width = start.atol / np.maximum(start.rtol, self.resolution**0.5)
            return difference_jacobian(lambda moved: system(t, moved), y, self.resolution, width)

        def jacobian(kind: str) -> Jacobian | None:
            if kind == "exact" and self.problem.differentiable:
                return exact
            return None if self.resolution <= np.finfo(np.float64).eps else by_differences

        system = System(lambda t, y: f(inside(t), y), jacobian, self.y.shape[1])
        return system

    def _beginning(self, stretch: Stretch, lane: int, y: np.ndarray) -> Start:
        largest = np.inf if self.options.largest_step is None else self.options.largest_step
        return Start(
            t=float(stretch.start[lane]),
            end=float(stretch.end[lane]),
            y=y,
            rtol=self._tolerance("rtol", lane),
            atol=self._tolerance("atol", lane),
            first_step=None if self.options.first_step is None else min(self.options.first_step, largest),
            largest_step=largest,
        )

    def _follow(self, lane: int, stepper: InUnits, system: System, start: Start, watch: LaneWatch) -> OdeStatus:
        """Step to the end of a stretch, and return how that went."""
        result, y, slope = self.results[lane], start.y, system.slope
        while len(result.ends) < self.options.max_steps:
            result.message = stepper.step() or ""
            if result.message or not np.isfinite(stepper.y).all():
                return OdeStatus.GAVE_UP
            way = stepper.step_size * np.maximum(np.abs(slope), np.abs(system.slope))
            if np.any(np.abs(stepper.y - y) > LEAP * (way + start.atol + start.rtol * np.abs(y))):
                result.message = "a step moved y far beyond what f is at its ends: the solution may end there"
                return OdeStatus.GAVE_UP
            y, slope = stepper.y, system.slope
            interpolant = stepper.interpolant() if self.dense or self.events else None
            limit = watch.step(stepper, interpolant) if interpolant and self.events else None
            self._record(result, stepper, self.times[:, lane], limit, interpolant)
            if limit is not None:
                return OdeStatus.EVENT
            if stepper.arrived:
                return OdeStatus.FINISHED
            if stepper.step_size == 0:
                return OdeStatus.STEP_TOO_SMALL
        return OdeStatus.MAX_STEPS

    def _record(
        self, result: _Lane, stepper: InUnits, times: np.ndarray, limit: float | None, interpolant: Interpolant | None
    ) -> None:
        passed, at_end = stepper.passed(times, limit)
        for index in np.flatnonzero(passed & ~at_end):
            interpolant = interpolant or stepper.interpolant()
            result.y[index] = interpolant(float(times[index]))
        result.y[at_end] = stepper.y
        if self.dense and interpolant:
            result.interpolants.append(interpolant)
        end = stepper.t if limit is None else limit
        self._refine_times(np.full(1, end), np.full(1, stepper.step_size))
        result.reached = end
        result.ends.append(end)

    def _refine_times(self, t: np.ndarray, h: np.ndarray) -> None:
        if not self.problem.fine and too_coarse(t, h, self.y0):
            self.problem = self.problem.with_fine_times()

    def _solution(self) -> OdeSolution:
        batch = self.y0.shape[0]
        xp = array_namespace(self.y0)
        outputs = [lanes_like(rows, self.y0) for rows in np.stack([lane.y for lane in self.results], axis=1)]
        steps = np.asarray([len(lane.ends) for lane in self.results])
        return OdeSolution(
            t=self.t,
            y=xp.stack([self.y0, *outputs[1:]]),
            status=status_of_samples([lane.status for lane in self.results], self.suspect),
            reached=np.broadcast_to([lane.reached for lane in self.results], (batch,)),
            accepted=np.broadcast_to(steps, (batch,)),
            rejected=np.zeros(batch, dtype=int),
            dense=self._trajectory() if self.dense else None,
            integrator=self.integrator,
            options=self.options,
            record=(),
            messages=tuple(lane.message for lane in self.results),
            events=self.log.records(),
            fine_times=self.problem.fine,
        )

    def _trajectory(self) -> Trajectory:
        steps = max(len(lane.ends) for lane in self.results)
        rests = [[lane.reached] * (steps - len(lane.ends)) for lane in self.results]
        ends = [[t0, *lane.ends, *rest] for t0, lane, rest in zip(self.times[0], self.results, rests, strict=True)]
        interpolants = zip_longest(*(lane.interpolants for lane in self.results))
        pieces = zip(pairwise(np.transpose(ends)), interpolants, strict=True)
        rest = LibrarySegment(self.times[0], self.times[0], self.y0, (None,) * self.lanes)
        segments = [LibrarySegment(*bounds, self.y0, each) for bounds, each in pieces] or [rest]
        return Trajectory(segments, Flow(self.problem.at, self.y0, self.lanes, lambda error, start, y: np.zeros(0)))
