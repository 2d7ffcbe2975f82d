"""`integrate`: an initial value problem, an integrator, and the policy about samples that do not arrive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from equilib.arrays import Array, Tree, is_tree
from equilib.fixed_points.arguments import check_call, check_state
from equilib.fixed_points.evaluator import Counts, counted
from equilib.fixed_points.options import overridden
from equilib.fixed_points.solution import check_success
from equilib.ode.driver import Integration
from equilib.ode.empty import nothing_integrated
from equilib.ode.events import Event, checked_events
from equilib.ode.flow import ErrorNorm
from equilib.ode.library import AnyIntegrator, LibraryIntegrator
from equilib.ode.library_run import LibraryRun
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import IntegrationError, IntegrationWarning, OdeOptions, OdeSolution
from equilib.ode.times import Times, checked_stops, checked_times
from equilib.ode.trees import StateTree
from equilib.options.kinds import check_kind, check_type
from equilib.options.named import resolved


def integrate(
    f: OdeProblem | Callable[[Array, Tree], Tree],
    y0: Tree,
    t: Times,
    integrator: str | AnyIntegrator,
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
    integrator : str, Integrator or LibraryIntegrator
        The method: a name as on the command line, such as "tsit5", or an object. A library's runs on the
        host, in float64, with steps of its own; f keeps its dtype and device.
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
        Fields of `OdeOptions`, as in `integrate(f, y0, t, integrator, rtol=1e-6)`.

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
    options = overridden(OdeOptions, options, overrides, integrate)
    tree, f, y0 = _packed(f, y0)
    times = checked_times(t, y0.shape[0], per_sample=options.per_sample)
    method: AnyIntegrator = resolved(integrator, "integrator", "integrator")
    _check_way(method, error_norm, dense=dense, states=states)
    counts = Counts()
    problem, stops = counted(f, counts), checked_stops(stops)
    problem = problem.with_fine_times() if stops else problem  # a float beside a stop is none in single precision
    events = checked_events(events, samples_alone=options.per_sample or y0.shape[0] == 1)
    events = events if tree is None else tuple(map(tree.event, events))
    # Overflow and invalid operations are what the error test looks for.
    with np.errstate(all="ignore"):
        if not prod(y0.shape):
            solution = nothing_integrated(problem, y0, times, method, options, events, dense=dense)
        elif isinstance(method, LibraryIntegrator):
            solution = LibraryRun(problem, y0, times, method, options, stops, events, dense=dense).run()
        else:
            integration = Integration(problem, y0, times, method, options, stops, events, error_norm)
            solution = integration.run(dense=dense, states=states)
    solution = replace(solution, nfe=counts.nfe, njvp=counts.njvp, stops=stops)
    solution = solution if tree is None else tree.integrated(solution)
    check_success(solution, options.on_failure, IntegrationError, IntegrationWarning)
    return solution


def _packed(f: OdeProblem | Callable[..., Tree], y0: Tree) -> tuple[StateTree | None, OdeProblem, Array]:
    """Return how a tree is packed, the problem, and y0 of shape (batch, ...); raises what `integrate` does."""
    tree = StateTree(y0) if is_tree(y0) else None
    if tree is None:
        check_state(y0, "y0")
        if y0.ndim < 1:
            raise ValueError("y0 needs a batch axis: give it the shape (1, ...) if there is one sample")
    if not isinstance(f, OdeProblem):
        check_kind(f, "f", "map of t and y")
        f = OdeProblem(f)
    return (None, f, y0) if tree is None else (tree, tree.ode(f), tree.pack(y0))


def _check_way(integrator: AnyIntegrator, error_norm: ErrorNorm | None, *, dense: bool, states: bool) -> None:
    """Require what an integrator can do beside its steps; raises what `integrate` does."""
    check_type(dense, "dense", bool)
    check_type(states, "states", bool)
    if error_norm is not None:
        check_kind(error_norm, "error_norm", "function")
        check_call(error_norm, "error_norm", "error", "start", "y")
    for name, asked in (("error_norm", error_norm is not None), ("states", states)):
        if asked and isinstance(integrator, LibraryIntegrator):
            raise ValueError(f"{name} is not for {integrator}, whose steps are a library's own: leave it out")
