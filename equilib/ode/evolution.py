"""Integrations as differentiable functions of the initial value, the output times and the inputs of f."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from equilib.adjoints.closures import with_closure
from equilib.adjoints.equilibrium import Record
from equilib.adjoints.sensitivity import Sensitivity
from equilib.arrays import Tree, tree_map
from equilib.fixed_points.arguments import check_call, check_inputs
from equilib.fixed_points.options import overridden
from equilib.ode.adjoints import Interpolating
from equilib.ode.adjoints.discrete import own_steps
from equilib.ode.events import Event, EventRecord
from equilib.ode.library import AnyIntegrator
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeOptions, OdeSolution
from equilib.ode.times import Times
from equilib.options.kinds import check_kind, described, is_of_kind
from equilib.options.named import ODE, resolved


@dataclass(frozen=True, kw_only=True, repr=False)
class Evolution(Record):
    """What an integration leaves.

    `y`, shape (times, batch, ...), is the solution at the times asked for, differentiable by the adjoint, or a tree of
    such arrays; `solution` is the forward integration.
    """

    y: Tree = field(repr=False)
    solution: OdeSolution
    events: tuple[EventRecord, ...] = field(default=(), repr=False)
    """Where each event occurred, times and states differentiable in everything that they depend on."""

    @property
    def state(self) -> Tree:
        """The solution where each sample ended: at the last time, or at its terminal event; shape (batch, ...)."""
        from equilib import ops  # deferred: it loads autograd
        from equilib.ode.adjoints.replay import traced_select

        state = tree_map(lambda leaf: ops.getitem(leaf, (-1, ...)), self.y)
        for record in self.events:
            if record.terminal and record.count.any():
                own = tree_map(lambda leaf: ops.getitem(leaf, (0, ...)), record.y)
                state = tree_map(partial(traced_select, record.count > 0), own, state)
        return state

    @property
    def adjoint_nvjp(self) -> int:
        """Products Jᵀ·w of backward passes so far."""
        return self.backward.nvjp


def odeint(
    f: Callable[..., Tree],
    y0: Tree,
    t: Times,
    *inputs: Tree,
    integrator: str | AnyIntegrator = "tsit5",
    adjoint: str | Sensitivity[OdeSolution] | None = None,
    options: OdeOptions | None = None,
    stops: Sequence[float] = (),
    events: Sequence[Event] = (),
    batched: bool = True,
    **overrides: Any,
) -> Tree:
    """Return y at the times t of y' = f(t, y, *inputs), y(t[0]) = y0, differentiable in y0, in t and in the inputs.

    Parameters
    ----------
    f : callable
        Maps t, y and the inputs to an array like y. It must be traceable. Arrays of enclosing functions that it uses
        are differentiated like inputs; what it finds in objects is a constant.
    y0, t, options, stops, events, **overrides
        As in `equilib.ode.integrate`; y0, shape (batch, ...) or a tree of such arrays, and t may be traced.
    *inputs : trees of arrays or numbers
    integrator : str, Integrator or LibraryIntegrator
        A name as on the command line, such as "tsit5" or "rk4:steps=100", or an object.
    adjoint : str or Sensitivity, optional
        How it is differentiated, by default by `Interpolating()`; with "discrete" there are tangents and derivatives of
        any order as well.
    batched : bool
        False if y0 has no batch axis: it is one system.

    Returns
    -------
    array, shape (times, batch, ...), or tree of such arrays

    Raises
    ------
    IntegrationError, TypeError, ValueError
        As `equilib.ode.integrate` does; UnseenStepsError where a library's steps are to be differentiated.
    UserError
        If a name or an option is unknown.
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
        events=events,
        batched=batched,
        **overrides,
    ).y


def evolve(
    f: Callable[..., Tree],
    y0: Tree,
    t: Times,
    *inputs: Tree,
    integrator: str | AnyIntegrator = "tsit5",
    adjoint: str | Sensitivity[OdeSolution] | None = None,
    options: OdeOptions | None = None,
    stops: Sequence[float] = (),
    events: Sequence[Event] = (),
    batched: bool = True,
    **overrides: Any,
) -> Evolution:
    """Integrate y' = f(t, y, *inputs) as `odeint` does, whose arguments it takes, and return the whole record.

    Its `y` is the solution at the times t, shape (times, batch, ...), `state` where each sample ended, `solution` tells
    the statuses and counts. Times and states of `events` have first derivatives in all that they depend on, the events'
    own inputs among it. Raises what `odeint` does.
    """
    # Deferred: autograd is loaded by those who differentiate, not by `import equilib`.
    from equilib.ode.calculus.differentiable import differentiable_integration

    method: AnyIntegrator = resolved(integrator, "integrator", "integrator")
    given = Interpolating() if adjoint is None else adjoint
    way: Sensitivity[OdeSolution] = resolved(given, "adjoint", "sensitivity", solves=ODE)
    if isinstance(f, OdeProblem):
        raise TypeError("f must be a map of t, y and inputs, got an OdeProblem; give its f, and its inputs after t")
    check_kind(f, "f", "map of t and y")
    if inputs and (isinstance(inputs[0], str) or is_of_kind(inputs[0], "integrator")):
        raise TypeError(f"what follows t are inputs of f, got {described(inputs[0])}; write integrator=...")
    check_inputs(inputs)
    check_call(f, "f", "t", "y", inputs=len(inputs), where="odeint(f, y0, t, *inputs)")
    if way.needs.states:
        own_steps(method)
    options = overridden(OdeOptions, options, overrides, odeint)
    lifted, everything = with_closure(f, inputs)
    return differentiable_integration(
        lifted, y0, t, everything, method, way, options, stops=stops, events=events, batched=batched
    )
