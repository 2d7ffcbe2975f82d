"""Initial value problems of tensors as differentiable functions of all that they depend on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from equilib.adjoints.sensitivity import Sensitivity
from equilib.fixed_points.options import overridden
from equilib.ode import OdeOptions
from equilib.ode.adjoints import Interpolating
from equilib.ode.adjoints.discrete import own_steps
from equilib.ode.evolution import Evolution
from equilib.ode.library import AnyIntegrator
from equilib.ode.solution import OdeSolution
from equilib.ode.times import checked_stops, checked_times
from equilib.options.kinds import check_kind
from equilib.options.named import ODE, resolved
from equilib.torch.bridge import Bridge, on_host
from equilib.torch.call import Call, without_autocast
from equilib.torch.closures import edges_into
from equilib.torch.compiling import uncompiled
from equilib.torch.implicit import require_no_outsiders
from equilib.torch.integral import Integral
from equilib.torch.layout import Layout
from equilib.torch.mistakes import check_map
from equilib.torch.ode_equation import Equation, Integrated, host_times
from equilib.torch.transforms import differentiable, dual, next_node, state_leaf, tangent_of, transformed


def odeint(
    f: Callable[..., Any],
    y0: Any,
    t: Any,
    *inputs: Any,
    integrator: str | AnyIntegrator = "tsit5",
    adjoint: str | Sensitivity[OdeSolution] | None = None,
    options: OdeOptions | None = None,
    stops: Sequence[float] = (),
    batched: bool = True,
    **overrides: Any,
) -> Any:
    """Return y at the times t of y' = f(t, y, *inputs), y(t[0]) = y0.

    It is differentiable in y0, in t, in the inputs, in parameters of a module f and in what f closes over.

    Parameters
    ----------
    f : callable
        Maps t, y and the inputs to the like of y; t is a tensor that broadcasts against y, of shape (1, ..., 1), or
        (batch, 1, ..., 1) with `per_sample`.
    y0 : Tensor, shape (batch, ...), or tree of such tensors
        The initial value.
    t : Tensor or sequence of float, shape (times,), or (times, batch) with `per_sample`
        Two or more times, increasing or decreasing.
    *inputs : trees of tensors
    integrator : str, Integrator or LibraryIntegrator
        A name as on the command line, such as "tsit5" or "rk4:steps=100", or an object.
    adjoint : str or Sensitivity, optional
        How it is differentiated, by default by `Interpolating()`; with "discrete" there are tangents and derivatives of
        any order as well, but of t.
    options, stops, **overrides
        As in `equilib.ode.integrate`.
    batched : bool
        False if y0 has no batch axis: it is one system.

    Returns
    -------
    Tensor, shape (times, batch, ...), or tree

    Raises
    ------
    IntegrationError, TypeError, ValueError
        As `equilib.odeint` does.
    UserError
        If a name or an option is unknown.
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


@uncompiled
def evolve(
    f: Callable[..., Any],
    y0: Any,
    t: Any,
    *inputs: Any,
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
    check_map(f, "f", "t", "y", inputs=len(inputs), where="odeint(f, y0, t, *inputs)")
    if way.needs.states:
        own_steps(method)
    layout = Layout(y0, "y0", batched=batched)
    start = layout.pack(y0)
    call = Call(f, inputs, layout, call="f(t, y)", at=(start.new_zeros((1,) * layout.axes), y0))
    equation = Equation(
        call=call,
        integrator=method,
        adjoint=way,
        options=on_host(overridden(OdeOptions, options, overrides, odeint)),
        stops=checked_stops(stops),
        bridge=Bridge(start, *(leaf for leaf in call.leaves if differentiable(leaf))),
    )
    held = Integrated()
    y = layout.unpack(_integrated(equation, start, t, held))
    assert held.solution is not None and held.grid is not None  # noqa: PT018
    solution = equation.known(held.solution, held.grid)
    return Evolution(
        y=y,
        solution=solution,
        status=solution.status,
        nfe=solution.nfe,
        njvp=solution.njvp,
        adjoints=held.adjoints,
        backward=held.counts,
    )


def _integrated(equation: Equation, y0: Tensor, t: Any, held: Integrated) -> Tensor:
    """Return y, shape (times, batch, size), with its derivative where one may be asked for."""
    call = equation.call
    if transformed():
        require_no_outsiders(call, torch.zeros((1,) * max(call.layout.axes, 1), dtype=y0.dtype, device=y0.device), y0)
        return Integral.apply(equation, held, t, y0, *call.leaves)
    times = host_times(t)
    if call.mixed and (torch.is_grad_enabled() or dual()):  # NumPy takes tensors without a graph: told before
        checked = checked_times(times, y0.shape[0], per_sample=equation.options.per_sample)
        _slope(equation, checked[0], state_leaf(y0.detach()))
    equation.integrate(y0.detach(), times, call.leaves, held)
    assert held.solution is not None and held.grid is not None  # noqa: PT018
    if torch.is_grad_enabled() or dual():
        depends = _depends(equation, y0, held)
        at = (y0, *((t,) if isinstance(t, Tensor) else ()))
        if depends or any(each.requires_grad or tangent_of(each) is not None for each in at):
            return Integral.apply(equation, held, t, y0, *call.leaves)
    return equation.bridge.tensor(held.grid.take(held.solution.y)).clone()


def _depends(equation: Equation, y0: Tensor, held: Integrated) -> bool:
    """Tell whether f depends on what can be differentiated, and add what it closes over to the leaves of its call."""
    assert held.grid is not None
    first = next_node()
    leaf = state_leaf(y0)
    slope = _slope(equation, held.grid.times[0], leaf)
    edges = edges_into(slope, first, leaf)
    depends = bool(edges) or tangent_of(slope) is not None
    if depends:
        equation.call.close(slope, edges, equation.call.leaves)
    return depends


def _slope(equation: Equation, time: Any, leaf: Tensor) -> Tensor:
    """Evaluate f at a time of the host, or at one of each sample, and a leaf, shape (batch, size), of a graph."""
    times = torch.as_tensor(time).to(leaf).reshape(-1, 1)
    with torch.enable_grad(), without_autocast(leaf.device.type):
        return equation.value(times, leaf, equation.call.leaves)
