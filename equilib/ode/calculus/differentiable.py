"""Integrations as differentiable functions of the initial value, the output times and the inputs of f."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from equilib import ops
from equilib.adjoints.calculus.differentiable import differentiable
from equilib.adjoints.linearizations import Noted, leaves_of_used
from equilib.adjoints.sensitivity import Pullback, Sensitivity, check_pulled
from equilib.arrays import Array, Tree, coefficients, from_host, to_host, tree_map, tree_unflatten
from equilib.autodiff import static_value, stop_gradient
from equilib.autodiff.boxes import ensure_traceable
from equilib.autodiff.custom import Differential, Refused, Traced
from equilib.fixed_points.boundary import is_traced
from equilib.fixed_points.evaluator import Counts, counted
from equilib.fixed_points.solution import check_success, of_adjoint
from equilib.ode.adjoints.replay import traced_select
from equilib.ode.calculus.event_times import FIRST_ONLY, differentiable_record, with_event_times
from equilib.ode.calculus.output_times import times_bar, traced_times, with_times
from equilib.ode.events import Event, EventRecord, checked_events
from equilib.ode.evolution import Evolution
from equilib.ode.grids import Subgrid
from equilib.ode.integration import integrate
from equilib.ode.library import AnyIntegrator
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import IntegrationError, IntegrationWarning, OdeOptions, OdeSolution
from equilib.ode.times import Times, checked_stops, checked_times
from equilib.ode.trees import StateTree

NO_CALCULUS = (
    "an integration has first derivatives in reverse mode only by the adjoint {}; for tangents and second derivatives "
    "take the adjoint discrete, Discrete()"
)
"""Why there is no other derivative."""


def differentiable_integration(
    f: Callable[..., Tree],
    y0: Tree,
    t: Times,
    inputs: tuple[Tree, ...],
    integrator: AnyIntegrator,
    way: Sensitivity[OdeSolution],
    options: OdeOptions,
    *,
    stops: Sequence[float] = (),
    events: Sequence[Event] = (),
    batched: bool = True,
) -> Evolution:
    """Integrate y' = f(t, y, *inputs) as a function of y0, of t and of the inputs, all of which may be traced."""
    times = traced_times(t)
    tree = StateTree.of(y0, batched=batched)
    events = checked_events(events)
    if tree is not None:
        f, y0, events = tree.map_of(f), tree.pack(y0), tuple(map(tree.event, events))
    problem = OdeProblem(f, *tree_map(partial(_as_array, y0), inputs, stop_gradient(inputs)))
    problem = problem.of(f, Noted(problem.derivatives), *problem.inputs)
    at: Any = t if times is None else np.asarray(to_host(static_value(times)), dtype=np.float64)
    how: dict[str, Any] = {"dense": way.needs.trajectory, "states": way.needs.states}
    given = problem, static_value(y0), at, integrator, options
    solution, fine, subgrid = _integrated(*given, checked_stops(stops), events, **how)
    ensure_traceable(solution.y)  # times may be traced where no array of this library is
    differentiated, on_failure = _Way(way, problem, fine, subgrid, solution.t, times), solution.options.on_failure
    y, adjoints = differentiable(
        subgrid.take(fine.y),
        y0,
        inputs if times is None else (times, *inputs),
        differentiated.pull,
        differentiated.leaves,
        check=lambda each: check_success(each, on_failure, IntegrationError, IntegrationWarning, of=of_adjoint(way)),
        differential=differentiated.differential(),
    )
    y, records = differentiated.split(y, events)
    if tree is not None:
        y, solution = tree.unpack(y), tree.integrated(solution)
        records = tuple(replace(record, y=tree.unpack(record.y)) for record in records)
    return Evolution(
        y=y,
        events=records,
        solution=solution,
        status=solution.status,
        nfe=solution.nfe,
        njvp=solution.njvp,
        adjoints=adjoints,
        backward=differentiated.counts,
    )


def _integrated(
    problem: OdeProblem,
    y0: Array,
    t: Any,
    integrator: AnyIntegrator,
    options: OdeOptions,
    stops: tuple[float, ...],
    events: Sequence[Event],
    **how: Any,
) -> tuple[OdeSolution, OdeSolution, Subgrid]:
    """Return the solution asked for, one with all times among the outputs that adjoints must not step over, and where.

    The times of the subgrid are those asked for, and then those of events.
    """
    times = checked_times(t, (*np.shape(y0), 0)[0], per_sample=options.per_sample) if stops else t
    subgrid = Subgrid.joined(times, stops)
    plain = [event.of(event.g, *stop_gradient(event.inputs)) for event in events]
    fine = integrate(problem, y0, subgrid.finer, integrator, options, stops=stops, events=plain, **how)
    solution = replace(fine, t=subgrid.times, y=subgrid.take(fine.y)) if stops else fine
    if not events:
        return solution, fine, subgrid
    return solution, *with_event_times(fine, solution.t)


def _as_array(y: Array, leaf: Any, plain: Any) -> Any:
    """Return the plain value of a leaf of the inputs, of a Python number that is differentiated an array like y's."""
    differentiated = is_traced(leaf) and isinstance(plain, float)
    return coefficients(np.asarray(plain), static_value(y)) if differentiated else plain


@dataclass(frozen=True, eq=False)
class _Way:
    """How an integration is differentiated: in y(t₀), in the output times where they are traced, and in the inputs.

    `solution` is that at all times at which an adjoint must not step over; of the `subgrid` the first times are those
    asked for, and then come those of events.
    """

    sensitivity: Any
    problem: OdeProblem
    solution: OdeSolution
    subgrid: Subgrid
    asked: np.ndarray
    times: Array | None
    counts: Counts = field(default_factory=Counts)

    def pull(self, cotangent: Array) -> Pullback[OdeSolution]:
        """Return the cotangents for that of y at the times asked for."""
        problem = counted(self.problem, self.counts)
        pulled: Pullback[OdeSolution] = self.sensitivity.pullback(problem, self.solution, self.subgrid.put(cotangent))
        check_pulled(self.sensitivity, pulled, problem.inputs)
        if self.times is None:
            return pulled
        count = len(self.asked)
        asked = replace(self.solution, t=self.asked, y=self.subgrid.take(self.solution.y)[:count, ...])
        bar = times_bar(problem, asked, cotangent[:count, ...], pulled.start, self.times)
        return replace(pulled, inputs=(bar, *pulled.inputs))

    def leaves(self, bars: tuple[Tree, ...]) -> list[Array | None]:
        """Return the leaves of the cotangents, None for those on which f does not depend."""
        first = 0 if self.times is None else 1
        return [*bars[:first], *leaves_of_used(self.problem, bars[first:])]

    def differential(self) -> Differential:
        """Return the derivatives of y beyond the pullback: those of the steps, replayed by a sensitivity that can."""
        if self.solution.events:
            return Refused(FIRST_ONLY)
        if hasattr(self.sensitivity, "unroll"):
            return Traced(self._replayed)
        return Refused(NO_CALCULUS.format(type(self.sensitivity).__name__))

    def split(self, y: Array, events: Sequence[Event]) -> tuple[Array, tuple[EventRecord, ...]]:
        """Return y at the times asked for, and the records of the events, of y at all times of the subgrid."""
        if not events:
            return y, ()
        first, records = len(self.asked), []
        times, missing = y[:first, ...], np.isnan(self.subgrid.times[:first])
        if missing.any():
            nan = coefficients(np.full((1,) * y.ndim, np.nan), static_value(y))
            times = ops.where(from_host(missing.reshape(missing.shape + (1,) * (y.ndim - 2)), nan), nan, times)
        for event, record in zip(events, self.solution.events, strict=True):
            last = first + len(record.t)
            records.append(differentiable_record(counted(self.problem, self.counts), event, record, y[first:last, ...]))
            first = last
        return times, tuple(records)

    def _replayed(self, start: Array, *leaves: Array) -> Array:
        timed = self.times is not None
        problem, inputs = self.problem, tree_unflatten(self.problem.inputs, list(leaves[timed:]))

        def steps(start: Array) -> Array:
            y = self.sensitivity.unroll(problem, self.solution, start, *inputs)
            return self.subgrid.take(y, traced_select)

        return with_times(steps, lambda t, y: problem.f(t, y, *inputs), start, leaves[0]) if timed else steps(start)
