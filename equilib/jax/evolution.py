"""Initial value problems in JAX as differentiable functions of all that they depend on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from equilib.adjoints.sensitivity import Sensitivity, check_pulled
from equilib.arrays import Tree
from equilib.errors import NoDerivativeError
from equilib.fixed_points.arguments import check_call
from equilib.fixed_points.evaluator import Counts, counted
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.options import overridden
from equilib.fixed_points.solution import check_success, of_adjoint
from equilib.jax.arguments import check_constants
from equilib.jax.cotangents import pulled
from equilib.jax.maps import Map
from equilib.jax.output_times import moved
from equilib.jax.problems import posed
from equilib.jax.solution import JitError
from equilib.jax.states import packing
from equilib.ode import OdeOptions, OdeProblem, integrate
from equilib.ode.adjoints import Interpolating
from equilib.ode.adjoints.discrete import own_steps
from equilib.ode.calculus.differentiable import NO_CALCULUS
from equilib.ode.calculus.output_times import times_bar
from equilib.ode.evolution import Evolution
from equilib.ode.grids import Subgrid
from equilib.ode.library import AnyIntegrator
from equilib.ode.solution import IntegrationError, IntegrationWarning, OdeSolution
from equilib.ode.times import checked_stops, checked_times
from equilib.options.kinds import check_kind
from equilib.options.named import ODE, resolved

ON_HOST = (
    "an integration is driven by the host and cannot run under jit, vmap or scan; call it outside of them, where f and "
    "its products are compiled all the same, and take the adjoint discrete where it is differentiated twice"
)


def odeint(
    f: Callable[..., Tree],
    y0: Tree,
    t: Any,
    *inputs: Tree,
    integrator: str | AnyIntegrator = "tsit5",
    adjoint: str | Sensitivity[OdeSolution] | None = None,
    options: OdeOptions | None = None,
    stops: Sequence[float] = (),
    batched: bool = True,
    **overrides: Any,
) -> Tree:
    """Return y at the times t of y' = f(t, y, *inputs), y(t[0]) = y0.

    It is differentiable in y0, in t, in the inputs and in what f closes over. The host drives it: see `JitError`.

    Parameters
    ----------
    f : callable
        Maps t, y and the inputs to the like of y; t is an array that broadcasts against y, of shape (1, ..., 1), or
        (batch, 1, ..., 1) with `per_sample`. It is compiled once, as by `fixed_point`.
    y0 : array, shape (batch, ...), or tree of such arrays
        The initial value.
    t : array or sequence of float, shape (times,), or (times, batch) with `per_sample`
        Two or more times, increasing or decreasing; differentiable where it is an array of JAX's.
    *inputs : trees of arrays
    integrator : str, Integrator or LibraryIntegrator
        A name as on the command line, such as "tsit5" or "rk4:steps=100", or an object.
    adjoint : str or Sensitivity, optional
        How it is differentiated, by default by `Interpolating()`; with "discrete" there are tangents and derivatives of
        any order as well, by t up to the fourth.
    options, stops, **overrides
        As in `equilib.ode.integrate`.
    batched : bool
        False if y0 has no batch axis: it is one system.

    Returns
    -------
    array, shape (times, batch, ...), or tree

    Raises
    ------
    IntegrationError, TypeError, ValueError
        As `equilib.odeint` does.
    UserError
        If a name or an option is unknown; a `JitError` under `jit`, `vmap` and `scan`.
    NoDerivativeError
        If a derivative is asked for that there is not.
    """
    return evolve(
        f,
        y0,
        t,
        *inputs,
        integrator=integrator,
        adjoint=adjoint,
        options=options,
        stops=stops,
        batched=batched,
        **overrides,
    ).y


def evolve(
    f: Callable[..., Tree],
    y0: Tree,
    t: Any,
    *inputs: Tree,
    integrator: str | AnyIntegrator = "tsit5",
    adjoint: str | Sensitivity[OdeSolution] | None = None,
    options: OdeOptions | None = None,
    stops: Sequence[float] = (),
    batched: bool = True,
    **overrides: Any,
) -> Evolution:
    """Integrate y' = f(t, y, *inputs) as `odeint` does, whose arguments it takes, and return the whole record.

    Its `y` is the solution at the times t, shape (times, batch, ...), `solution` tells the statuses and counts of the
    samples. Raises what `odeint` does.
    """
    method: AnyIntegrator = resolved(integrator, "integrator", "integrator")
    way = resolved(Interpolating() if adjoint is None else adjoint, "adjoint", "sensitivity", solves=ODE)
    check_kind(f, "f", "map of t and y")
    check_call(f, "f", "t", "y", inputs=len(inputs), where="odeint(f, y0, t, *inputs)")
    if way.needs.states:
        own_steps(method)
    check_constants(overrides)
    packed, start = packing(y0, "y0", batched=batched)
    problem = posed(f, inputs, packed, timed=True)
    given = overridden(OdeOptions, options, overrides, odeint)
    traced = isinstance(t, jax.Array)
    equation = _Equation(problem.f, method, way, given, checked_stops(stops), None if traced else t)
    integrated = _replayed if hasattr(way, "unroll") else _pulled
    y = integrated(equation, start, t if traced else None, problem.arrays)
    solution = equation.solutions[-1]
    unpack = jax.vmap(packed.unpack)
    y = unpack(y)
    return Evolution(
        y=y,
        solution=replace(solution, y=jax.lax.stop_gradient(y), dense=None, record=()),
        status=solution.status,
        nfe=solution.nfe,
        njvp=solution.njvp,
        adjoints=equation.adjoints,
        backward=equation.counts,
    )


@dataclass(frozen=True, eq=False)
class _Equation:
    """y' = f(t, y, θ) of packed states and how it is integrated, the times where they are constants, and its records.

    `f` has t as the first of the arrays that it depends on.
    """

    f: Map
    integrator: Any
    adjoint: Any
    options: OdeOptions
    stops: tuple[float, ...]
    t: Any
    solutions: list[OdeSolution] = field(default_factory=list)
    grids: list[Subgrid] = field(default_factory=list)
    adjoints: list[OdeSolution] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    def problem(self, arrays: Sequence[jax.Array]) -> OdeProblem:
        """Return the problem on the host, of compiled pieces."""

        def linearize(_: object, t: jax.Array, y: jax.Array, *given: jax.Array) -> Linearization:
            linear = self.f.linearize(None, y, t, *given)
            return replace(linear, inputs_vjp=lambda w: linear.inputs_vjp(w)[1:])

        return OdeProblem(lambda t, y, *given: self.f.evaluate(y, (t, *given)), *arrays, linearize=linearize)


class _Followed(OdeProblem):
    """y' = f(t, y) on arrays that JAX follows, whose values are not known."""

    def linearize(self, *_: jax.Array) -> NoReturn:
        """Refuse what an implicit step needs."""
        raise NoDerivativeError(
            "JAX does not follow these in the adjoint discrete; take interpolating, gauss or backsolve, or an explicit "
            "integrator such as tsit5"
        )


def _integrate(equation: _Equation, y0: jax.Array, t: jax.Array | None, arrays: tuple[jax.Array, ...]) -> jax.Array:
    """Return y at the times asked for, and note the solution at these and at `stops`."""
    y0, at, *plain = (each if each is None else _on_host(each) for each in (y0, t, *arrays))
    times = equation.t if at is None else np.asarray(at, dtype=np.float64)
    grid = Subgrid.joined(checked_times(times, len(y0), per_sample=equation.options.per_sample), equation.stops)
    needs = equation.adjoint.needs
    how: dict[str, Any] = {"dense": needs.trajectory, "states": needs.states, "stops": equation.stops}
    found = integrate(equation.problem(plain), y0, grid.finer, equation.integrator, equation.options, **how)
    equation.solutions.append(found)
    equation.grids.append(grid)
    y: jax.Array = grid.take(found.y)
    return y


def _on_host(array: Any) -> jax.Array:
    if isinstance(array, jax.core.Tracer):
        raise JitError(ON_HOST)
    return jnp.asarray(array)


_pulled = jax.custom_vjp(_integrate, nondiff_argnums=(0,))
_replayed = jax.custom_jvp(_integrate, nondiff_argnums=(0,))


def _forward(equation: _Equation, *at: Any) -> tuple[jax.Array, Any]:
    return _integrate(equation, *at), at


def _backward(equation: _Equation, at: Any, g: jax.Array) -> tuple[Any, ...]:
    """Return the cotangents of y(t₀), of the times and of the arrays."""
    leaves, structure = jax.tree.flatten(at)
    moving = [jnp.issubdtype(jnp.result_type(each), jnp.inexact) for each in leaves]

    def pull(g: jax.Array, *given: jax.Array) -> list[jax.Array]:
        known = iter(given)
        whole = [jnp.asarray(next(known) if moves else leaf) for leaf, moves in zip(leaves, moving, strict=True)]
        bars = jax.tree.leaves(_pulled_back(equation, structure.unflatten(whole), jnp.asarray(g)))
        return [bar for bar, moves in zip(bars, moving, strict=True) if moves]

    def refuse() -> NoReturn:
        raise NoDerivativeError(NO_CALCULUS.format(type(equation.adjoint).__name__))

    found = iter(pulled(pull, refuse, g, [each for each, moves in zip(leaves, moving, strict=True) if moves]))
    bars = [next(found) if moves else _zeros(leaf) for leaf, moves in zip(leaves, moving, strict=True)]
    return tuple(structure.unflatten(bars))


def _pulled_back(equation: _Equation, at: Any, g: jax.Array) -> tuple[Any, ...]:
    y0, t, arrays = at
    way, solution, grid = equation.adjoint, equation.solutions[-1], equation.grids[-1]
    problem = counted(equation.problem(arrays), equation.counts)
    found = way.pullback(problem, solution, grid.put(g))
    check_pulled(way, found, problem.inputs)
    equation.adjoints.extend(found.solves)
    for each in found.failed[:1]:
        check_success(each, equation.options.on_failure, IntegrationError, IntegrationWarning, of=of_adjoint(way))
    asked = replace(solution, t=grid.times, y=grid.take(solution.y))
    t_bar = None if t is None else times_bar(problem, asked, g, found.start, t)
    return jnp.zeros_like(y0) if found.start is None else found.start, t_bar, tuple(found.inputs)


_pulled.defvjp(_forward, _backward)


@partial(_replayed.defjvp, symbolic_zeros=True)
def _of_steps(equation: _Equation, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """Return y, and the tangent of the accepted steps taken again."""
    zero = jax.custom_derivatives.SymbolicZero
    y = _replayed(equation, *primals)
    solution, grid = equation.solutions[-1], equation.grids[-1]
    timed = tangents[1] is not None and not isinstance(tangents[1], zero)

    def steps(y0: jax.Array, t: jax.Array | None, arrays: Sequence[jax.Array]) -> jax.Array:
        problem = _Followed(lambda t, y: equation.f.call(y, (t, *arrays)))
        select = lambda mask, one, other: jnp.where(mask.reshape(-1, *(1,) * (y0.ndim - 1)), one, other)  # noqa: E731
        fine = problem.with_fine_times(fine=solution.fine_times)
        fixed = [] if t is None else [jnp.asarray(fine.time(np.atleast_1d(each), solution.y[0])) for each in grid.times]
        begin = y0 if t is None else moved(problem.f, y0, t[0], fixed[0], back=True)
        taken: jax.Array = grid.take(equation.adjoint.unroll(problem, solution, begin), select)
        if t is None:
            return taken
        rest = (moved(problem.f, y, *at) for y, *at in zip(taken[1:], t[1:], fixed[1:], strict=True))
        return jnp.stack([y0, *rest])

    at = primals[0], primals[1] if timed else None, primals[2]
    along = tangents[0], tangents[1] if timed else None, tangents[2]
    made = jax.tree.map(lambda v, x: _zeros(x) if isinstance(v, zero) else v, along, at)
    return y, jax.jvp(steps, at, made)[1]


def _zeros(x: Any) -> Any:
    inexact = jnp.issubdtype(jnp.result_type(x), jnp.inexact)
    return jnp.zeros_like(x) if inexact else np.zeros(jnp.shape(x), jax.dtypes.float0)
