"""Integrations as differentiable functions of the initial value, the output times and the inputs of f."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from equilib import ops
from equilib.adjoints.calculus.differentiable import differentiable
from equilib.adjoints.equilibrium import Record
from equilib.adjoints.linearizations import Noted, leaves_of_used
from equilib.adjoints.sensitivity import Pullback, Sensitivity
from equilib.arrays import Array, Tree, coefficients, to_host, tree_map, tree_unflatten
from equilib.autodiff import static_value, stop_gradient
from equilib.autodiff.boxes import ensure_traceable
from equilib.autodiff.custom import Differential, Refused, Traced
from equilib.fixed_points.arguments import check_kind
from equilib.fixed_points.boundary import is_traced
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
from equilib.ode.trees import StateTree, is_tree

NO_CALCULUS = (
    "an integration has first derivatives in reverse mode only by the adjoint {}; for tangents and second derivatives "
    "take the adjoint discrete, Discrete()"
)
"""Why there is no other derivative."""


@dataclass(frozen=True, kw_only=True)
class Evolution(Record):
    """What an integration in a model leaves.

    `y`, shape (times, batch, ...), is the solution at the times asked for, differentiable by the sensitivity, or a tree
    of such arrays; `solution` is the forward integration.
    """

    y: Tree = field(repr=False)
    solution: OdeSolution

    @property
    def state(self) -> Tree:
        """The solution at the last time, shape (batch, ...), or a tree of such arrays."""
        return tree_map(lambda leaf: ops.getitem(leaf, (-1, ...)), self.y)

    @property
    def adjoint_nvjp(self) -> int:
        """Products Jᵀ·w of backward passes so far."""
        return self.backward.nvjp


def evolve(
    f: Callable[..., Tree],
    y0: Tree,
    t: Times,
    integrator: AnyIntegrator,
    *inputs: Tree,
    sensitivity: Sensitivity[OdeSolution] | None = None,
    options: OdeOptions | None = None,
    stops: Sequence[float] = (),
) -> Evolution:
    """Integrate y' = f(t, y, *inputs) like `odeint`, differentiable in y0, shape (batch, ...), in t and the inputs.

    y0 may be a tree, as there. Nothing else that f depends on is differentiated. The backward pass is done as the
    sensitivity says, by default `Interpolating()`; with `Discrete()` there are tangents and derivatives of any order as
    well. Raises what `odeint` does.
    """
    way = Interpolating() if sensitivity is None else sensitivity
    check_kind(way, "sensitivity", "sensitivity")
    times = traced_times(t)
    tree = StateTree(y0) if is_tree(y0) else None
    if tree is not None:
        f, y0 = tree.map_of(f), tree.pack(y0)
    problem = OdeProblem(f, *tree_map(partial(_as_array, y0), inputs, stop_gradient(inputs)))
    problem = problem.of(f, Noted(problem.derivatives), *problem.inputs)
    at: Any = t if times is None else np.asarray(to_host(static_value(times)), dtype=np.float64)
    stops, options = checked_stops(stops), options or OdeOptions()
    # The adjoint finds all times that it must not step over among the output times.
    at = checked_times(at, (*np.shape(static_value(y0)), 0)[0], per_sample=options.per_sample) if stops else at
    subgrid = Subgrid.joined(at, stops)
    how: dict[str, Any] = {"dense": way.needs.trajectory, "states": way.needs.states, "stops": stops}
    fine = odeint(problem, static_value(y0), subgrid.finer, integrator, options, **how)
    solution = replace(fine, t=subgrid.times, y=subgrid.take(fine.y)) if stops else fine
    ensure_traceable(solution.y)  # times may be traced where no array of this library is
    differentiated, on_failure = _Way(way, problem, fine, subgrid, times), solution.options.on_failure
    y, adjoints = differentiable(
        solution.y,
        y0,
        inputs if times is None else (times, *inputs),
        differentiated.pull,
        differentiated.leaves,
        check=lambda each: check_success(each, on_failure, IntegrationError, IntegrationWarning, of=of_adjoint(way)),
        differential=differentiated.differential(),
    )
    return Evolution(
        y=y if tree is None else tree.unpack(y),
        solution=solution if tree is None else tree.solution(solution),
        status=solution.status,
        nfe=solution.nfe,
        njvp=solution.njvp,
        adjoints=adjoints,
        backward=differentiated.counts,
    )


def _as_array(y: Array, leaf: Any, plain: Any) -> Any:
    """Return the plain value of a leaf of the inputs, of a Python number that is differentiated an array like y's."""
    differentiated = is_traced(leaf) and isinstance(plain, float)
    return coefficients(np.asarray(plain), static_value(y)) if differentiated else plain


@dataclass(frozen=True, eq=False)
class _Way:
    """How an integration is differentiated: in y(t₀), in the output times where they are traced, and in the inputs.

    `solution` is that at all times at which an adjoint must not step over, `subgrid` those asked for among them.
    """

    sensitivity: Any
    problem: OdeProblem
    solution: OdeSolution
    subgrid: Subgrid
    times: Array | None
    counts: Counts = field(default_factory=Counts)

    def pull(self, cotangent: Array) -> Pullback[OdeSolution]:
        """Return the cotangents for that of y at the times asked for."""
        problem = counted(self.problem, self.counts)
        pulled: Pullback[OdeSolution] = self.sensitivity.pullback(problem, self.solution, self.subgrid.put(cotangent))
        if self.times is None:
            return pulled
        asked = replace(self.solution, t=self.subgrid.times, y=self.subgrid.take(self.solution.y))
        bar = times_bar(problem, asked, cotangent, pulled.start, self.times)
        return replace(pulled, inputs=(bar, *pulled.inputs))

    def leaves(self, bars: tuple[Tree, ...]) -> list[Array | None]:
        """Return the leaves of the cotangents, None for those on which f does not depend."""
        first = 0 if self.times is None else 1
        return [*bars[:first], *leaves_of_used(self.problem, bars[first:])]

    def differential(self) -> Differential:
        """Return the derivatives of y beyond the pullback: those of the steps, replayed by a sensitivity that can."""
        if hasattr(self.sensitivity, "unroll"):
            return Traced(self._replayed)
        return Refused(NO_CALCULUS.format(type(self.sensitivity).__name__))

    def _replayed(self, start: Array, *leaves: Array) -> Array:
        timed = self.times is not None
        problem, inputs = self.problem, tree_unflatten(self.problem.inputs, list(leaves[timed:]))

        def steps(start: Array) -> Array:
            y = self.sensitivity.unroll(problem, self.solution, start, *inputs)
            return self.subgrid.take(y, traced_select)

        return with_times(steps, lambda t, y: problem.f(t, y, *inputs), start, leaves[0]) if timed else steps(start)
