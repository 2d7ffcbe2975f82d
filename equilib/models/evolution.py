"""Integrations as differentiable functions of the initial value, the output times and the inputs of f."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from equilib import ops
from equilib.adjoints.calculus.differentiable import differentiable
from equilib.adjoints.equilibrium import Record
from equilib.adjoints.linearizations import Noted, leaves_of_used
from equilib.adjoints.sensitivity import Pullback, Sensitivity
from equilib.arrays import Array, Tree, tree_unflatten
from equilib.autodiff import static_value, stop_gradient
from equilib.autodiff.boxes import ensure_traceable
from equilib.autodiff.custom import Differential, Refused, Traced
from equilib.fixed_points.arguments import check_kind
from equilib.fixed_points.evaluator import Counts, counted
from equilib.fixed_points.solution import check_success, of_adjoint
from equilib.models.output_times import times_bar, traced_times, with_times
from equilib.ode.adjoints import Interpolating
from equilib.ode.adjoints.replay import traced_select
from equilib.ode.grids import Subgrid
from equilib.ode.integrate import odeint
from equilib.ode.library import AnyIntegrator
from equilib.ode.outputs import Times, checked_times
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import IntegrationError, IntegrationWarning, OdeOptions, OdeSolution
from equilib.ode.stops import checked_stops

NO_CALCULUS = (
    "an integration has first derivatives in reverse mode only by the adjoint {}; for tangents and second derivatives "
    "take the adjoint discrete, Discrete()"
)
"""Why there is no other derivative."""


@dataclass(frozen=True, kw_only=True)
class Evolution(Record):
    """What an integration in a model leaves.

    `y`, shape (times, batch, ...), is the solution at the times asked for, differentiable by the sensitivity;
    `solution` is the forward integration.
    """

    y: Array = field(repr=False)
    solution: OdeSolution

    @property
    def state(self) -> Array:
        """The solution at the last time, shape (batch, ...)."""
        return ops.getitem(self.y, (-1, ...))

    @property
    def adjoint_nvjp(self) -> int:
        """Products Jᵀ·w of backward passes so far."""
        return self.backward.nvjp


def evolve(
    f: Callable[..., Array],
    y0: Array,
    t: Times,
    integrator: AnyIntegrator,
    *inputs: Tree,
    sensitivity: Sensitivity[OdeSolution] | None = None,
    options: OdeOptions | None = None,
    stops: Sequence[float] = (),
) -> Evolution:
    """Integrate y' = f(t, y, *inputs) like `odeint`, differentiable in y0, shape (batch, ...), in t and the inputs.

    Numbers among the inputs are constants, and nothing else that f depends on is differentiated. The backward pass is
    done as the sensitivity says, by default `Interpolating()`; with `Discrete()` there are tangents and derivatives of
    any order as well. Raises what `odeint` does.
    """
    way = Interpolating() if sensitivity is None else sensitivity
    check_kind(way, "sensitivity", "sensitivity")
    times = traced_times(t)
    problem = OdeProblem(f, *stop_gradient(inputs))
    problem = problem.of(f, Noted(problem.derivatives), *problem.inputs)
    at: Any = t if times is None else static_value(times)
    stops, options = checked_stops(stops), options or OdeOptions()
    # The adjoint finds all times that it must not step over among the output times.
    at = checked_times(at, (*np.shape(static_value(y0)), 0)[0], per_sample=options.per_sample) if stops else at
    subgrid = Subgrid.joined(at, stops)
    how: dict[str, Any] = {"dense": way.needs.trajectory, "states": way.needs.states, "stops": stops}
    fine = odeint(problem, static_value(y0), subgrid.finer, integrator, options, **how)
    solution = replace(fine, t=subgrid.times, y=subgrid.take(fine.y)) if stops else fine
    ensure_traceable(solution.y)  # times may be traced where no array of this library is
    counts, on_failure = Counts(), solution.options.on_failure

    def pull(cotangent: Array) -> Pullback[OdeSolution]:
        known = counted(problem, counts)
        pulled = way.pullback(known, fine, subgrid.put(cotangent))
        if times is None:
            return pulled
        bar = times_bar(known, solution, cotangent, pulled.start, times)
        return Pullback(inputs=(bar, *pulled.inputs), start=pulled.start, solves=pulled.solves)

    def leaves(bars: tuple[Tree, ...]) -> list[Array | None]:
        first = 0 if times is None else 1
        return [*bars[:first], *leaves_of_used(problem, bars[first:])]

    y, adjoints = differentiable(
        solution.y,
        y0,
        inputs if times is None else (times, *inputs),
        pull,
        leaves,
        check=lambda each: check_success(each, on_failure, IntegrationError, IntegrationWarning, of=of_adjoint(way)),
        differential=_differential(way, problem, fine, subgrid, timed=times is not None),
    )
    status, nfe, njvp = solution.status, solution.nfe, solution.njvp
    return Evolution(y=y, solution=solution, status=status, nfe=nfe, njvp=njvp, adjoints=adjoints, backward=counts)


def _differential(
    way: Any, problem: OdeProblem, solution: OdeSolution, subgrid: Subgrid, *, timed: bool
) -> Differential:
    """Return the derivatives of y beyond the pullback: those of the steps, replayed by a sensitivity that can."""
    if not hasattr(way, "unroll"):
        return Refused(NO_CALCULUS.format(type(way).__name__))

    def replayed(start: Array, *leaves: Array) -> Array:
        inputs = tree_unflatten(problem.inputs, list(leaves[timed:]))

        def steps(start: Array) -> Array:
            return subgrid.take(way.unroll(problem, solution, start, *inputs), traced_select)

        return with_times(steps, lambda t, y: problem.f(t, y, *inputs), start, leaves[0]) if timed else steps(start)

    return Traced(replayed)
