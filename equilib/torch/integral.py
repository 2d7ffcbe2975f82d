"""Integrations as functions of autograd: of the initial value, the output times, and all that f depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from equilib.arrays import Array
from equilib.errors import NoDerivativeError
from equilib.fixed_points.evaluator import Counts, counted
from equilib.fixed_points.problem import Linearization
from equilib.fixed_points.solution import check_success, of_adjoint
from equilib.ode import OdeOptions, OdeProblem, integrate
from equilib.ode.calculus.differentiable import NO_CALCULUS
from equilib.ode.calculus.output_times import times_bar
from equilib.ode.grids import Subgrid
from equilib.ode.solution import IntegrationError, IntegrationWarning, OdeSolution
from equilib.ode.times import checked_times
from equilib.torch.bridge import Bridge
from equilib.torch.call import Call, without_autocast
from equilib.torch.first_order import Cotangents, FirstOrder
from equilib.torch.products import linearization, of_leaves
from equilib.torch.resolved import folded
from equilib.torch.transforms import (
    differentiable,
    dual,
    in_forward_mode,
    primal,
    pulled,
    pushed,
    require_unbatched,
    transformed,
)

MAPPED = (
    "an integration that vmap maps has no derivative inside of vmap: differentiate around it, as in grad of vmap, or "
    "give what is mapped a batch axis"
)

MAPPED_TIMES = "vmap cannot map over output times: give y0 a batch axis and each sample its times, per_sample=True"

TIMES_ONCE = "output times have first derivatives in reverse mode only: give t as constants for other derivatives"


@dataclass(eq=False)
class Integrated:
    """What an integration left: the solution at all times, those asked for, and what derivatives solved.

    It is `mapped` where it is that of several integrations side by side.
    """

    solution: OdeSolution | None = None
    grid: Subgrid | None = None
    mapped: bool = False
    adjoints: list[OdeSolution] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)


@dataclass(frozen=True, eq=False, kw_only=True)
class Equation:
    """y' = f(t, y, *leaves) of packed states, shape (batch, size), and how it is integrated; times are on the host.

    `mapped` is f where `lanes` such equations are integrated side by side, their leaves with an axis of their own.
    """

    call: Call
    integrator: Any
    adjoint: Any
    options: OdeOptions
    stops: tuple[float, ...]
    bridge: Bridge
    mapped: Callable[..., Tensor] | None = None
    lanes: int = 1

    def over(self, lanes: int, dims: Sequence[int | None], randomness: str) -> Self:
        """Return the equation of `lanes` batches in a row, with leaves of which some have an axis of lanes in front."""
        timed = 0 if self.options.per_sample else None
        inner = torch.vmap(
            lambda t, y, *leaves: self.value(t, y, leaves), in_dims=(timed, 0, *dims), randomness=randomness
        )

        def split(rows: Tensor) -> Tensor:
            return rows.unflatten(0, (lanes, rows.shape[0] // lanes))

        def mapped(t: Tensor, y: Tensor, *leaves: Tensor) -> Tensor:
            values: Tensor = inner(t if timed is None else split(t), split(y), *leaves)
            return values.flatten(0, 1)

        return replace(self, mapped=mapped, lanes=lanes * self.lanes)

    def value(self, t: Tensor, y: Tensor, leaves: Sequence[Tensor], *, strict: bool = False) -> Tensor:
        """Return y', shape (batch, size), at times of shape (lanes, 1)."""
        if self.mapped is not None:
            return self.mapped(t, y, *leaves)
        time = t.reshape(t.shape[:1] + (1,) * (self.call.layout.axes - 1)) if self.call.layout.axes else t.reshape(())
        return self.call.with_leaves((time, y), leaves, strict=strict)

    def problem(self, leaves: Sequence[Tensor]) -> OdeProblem:
        """Return the problem whose inputs are the leaves, plain tensors, as arrays."""
        bridge, plain = self.bridge, [leaf.detach() for leaf in leaves]
        arrays = tuple(map(bridge.array, plain))
        for each in arrays if bridge.on_host else ():
            each.setflags(write=False)  # so that it is handed on as it is

        def tensors(given: Sequence[Array]) -> list[Tensor]:
            return [
                old if one is two else bridge.tensor(one) for old, one, two in zip(plain, given, arrays, strict=True)
            ]

        def value(t: Array, y: Array, *given: Array) -> Array:
            with torch.no_grad():
                return bridge.array(self.value(bridge.tensor(t), bridge.tensor(y), tensors(given)))

        def linearize(_: object, t: Array, y: Array, *given: Array) -> Linearization:
            with torch.enable_grad():
                at = bridge.tensor(y).detach().requires_grad_()
                copies = [leaf.detach().requires_grad_(differentiable(leaf)) for leaf in tensors(given)]
                slope = self.value(bridge.tensor(t), at, copies, strict=True)
            bars = of_leaves(slope, copies)
            return linearization(bridge, at, slope, lambda w: tuple(map(bridge.array, bars(w))))

        return OdeProblem(value, *arrays, linearize=linearize)

    def integrate(self, y0: Tensor, t: Any, leaves: Sequence[Tensor], held: Integrated) -> None:
        """Integrate from y0, shape (batch, size), plain tensors."""
        needs, start = self.adjoint.needs, self.bridge.array(y0)
        if self.lanes > 1 and self.options.per_sample:
            t = np.tile(t, (1, self.lanes))
        times = checked_times(t, len(start), per_sample=self.options.per_sample)
        held.grid = Subgrid.joined(times, self.stops)
        how: dict[str, Any] = {"dense": needs.trajectory, "states": needs.states, "stops": self.stops}
        with torch.inference_mode(mode=False), torch.no_grad(), without_autocast(y0.device.type):
            held.solution = integrate(
                self.problem(leaves), start, held.grid.finer, self.integrator, self.options, **how
            )

    def known(self, solution: OdeSolution, grid: Subgrid) -> OdeSolution:
        """Return a solution with states as the user knows them."""
        layout, y = self.call.layout, self.bridge.tensor(grid.take(solution.y))
        y = y if y.shape[1] != layout.batch and not layout.batched else layout.unpack(y)
        return replace(solution, t=grid.times, y=y, dense=None, record=())


class Integral(torch.autograd.Function):
    """y at the output times, shape (times, batch, size), of y(t₀), the times or None, and the leaves."""

    @staticmethod
    def forward(equation: Equation, held: Integrated, t: Any, y0: Tensor, *leaves: Tensor) -> Tensor:
        """Integrate, where that has not been done."""
        if held.solution is None:
            equation.integrate(y0, host_times(t), leaves, held)
        assert held.solution is not None and held.grid is not None  # noqa: PT018
        return equation.bridge.tensor(held.grid.take(held.solution.y)).clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what derivatives need."""
        ctx.equation, ctx.held, t, *at = inputs
        ctx.set_materialize_grads(False)
        ctx.timed = isinstance(t, Tensor)
        kept = (t if ctx.timed else None, *at)
        ctx.save_for_backward(*kept)
        ctx.save_for_forward(*kept)

    @staticmethod
    def backward(ctx: Any, g: Tensor | None) -> Cotangents:
        """Return the cotangents of the times, of y(t₀) and of the leaves."""
        t, *at = ctx.saved_tensors
        equation, held = ctx.equation, ctx.held
        timed = t if ctx.timed and ctx.needs_input_grad[2] else None
        if g is None:
            return (None,) * (3 + len(at))
        require_unbatched(g)
        _require_unmapped(held)
        equation.call.require_complete()
        if not (torch.is_grad_enabled() or transformed() or dual()):
            return None, None, *_pullback(equation, held, g, timed, at)
        if hasattr(equation.adjoint, "unroll"):
            if timed is not None:
                raise NoDerivativeError(TIMES_ONCE)
            return None, None, None, *pulled(lambda *given: _replayed(equation, held, given), at, g)
        pullback = lambda g, t, *at: _pullback(equation, held, g, t, at)  # noqa: E731
        return None, None, *FirstOrder.apply(_no_calculus(equation), pullback, g, timed, *at)

    @staticmethod
    def jvp(ctx: Any, _: Any, __: Any, t_dot: Tensor | None, *dots: Tensor | None) -> Tensor:
        """Return dy, by the steps replayed."""
        if not hasattr(ctx.equation.adjoint, "unroll"):
            raise NoDerivativeError(_no_calculus(ctx.equation))
        if t_dot is not None:
            raise NoDerivativeError(TIMES_ONCE)
        _require_unmapped(ctx.held)
        ctx.equation.call.require_complete()
        with in_forward_mode():
            at = [primal(each) for each in ctx.saved_tensors[1:]]
            found = pushed(lambda *given: _replayed(ctx.equation, ctx.held, given), at, dots)
        assert found is not None  # something has a tangent
        return found

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], equation: Equation, held: Integrated, t: Any, y0: Tensor, *leaves: Tensor
    ) -> Any:
        """Integrate all of them as one batch."""
        _, _, timed, axis, *axes = in_dims
        if isinstance(t, Tensor) and timed is not None:
            raise NoDerivativeError(MAPPED_TIMES)
        if axis is None and all(each is None for each in axes):
            return Integral.apply(equation, held, t, y0, *leaves), None
        inner, (start,), moved = folded(equation, info, (axis,), (y0,), axes, leaves)
        within = Integrated(adjoints=held.adjoints, counts=held.counts)
        y = Integral.apply(inner, within, t, start, *moved)
        held.solution, held.grid, held.mapped = within.solution, within.grid, True
        return y.unflatten(1, (info.batch_size, y.shape[1] // info.batch_size)), 1


def host_times(t: Any) -> Any:
    """Return output times on the host, float64 where they are a tensor."""
    return t.detach().cpu().double().numpy() if isinstance(t, Tensor) else t


def _pullback(
    equation: Equation, held: Integrated, g: Tensor, t: Tensor | None, at: Sequence[Tensor]
) -> Sequence[Tensor | None]:
    """Return the cotangents of the times, of y(t₀) and of the leaves for that of y, plain tensors."""
    solution, grid, bridge = held.solution, held.grid, equation.bridge
    assert solution is not None and grid is not None  # noqa: PT018
    _, *leaves = at
    g_array = bridge.array(g)
    with torch.no_grad(), without_autocast(g.device.type):
        problem = counted(equation.problem(leaves), held.counts)
        found = equation.adjoint.pullback(problem, solution, grid.put(g_array))
        asked = replace(solution, t=grid.times, y=grid.take(solution.y))
        t_bar = None if t is None else times_bar(problem, asked, g_array, found.start, t.detach())
    held.adjoints.extend(found.solves)
    for each in found.failed[:1]:
        of = of_adjoint(equation.adjoint)
        check_success(each, equation.options.on_failure, IntegrationError, IntegrationWarning, of=of)
    start = torch.zeros_like(at[0]) if found.start is None else bridge.tensor(found.start)
    bars = [
        bridge.tensor(bar) if differentiable(leaf) else None for bar, leaf in zip(found.inputs, leaves, strict=True)
    ]
    return t_bar, start, *bars


def _replayed(equation: Equation, held: Integrated, given: Sequence[Tensor]) -> Tensor:
    """Return y by the accepted steps, whose graph PyTorch keeps."""
    solution, grid, bridge = held.solution, held.grid, equation.bridge
    assert solution is not None and grid is not None  # noqa: PT018
    start, *leaves = given
    problem = OdeProblem(lambda t, y: equation.value(t, y, leaves, strict=True))
    y = equation.adjoint.unroll(problem, replace(solution, y=bridge.tensor(solution.y)), start)

    def select(mask: np.ndarray, chosen: Tensor, other: Tensor) -> Tensor:
        return torch.where(torch.from_numpy(mask).to(other.device)[:, None], chosen, other)

    return grid.take(y, select)


def _require_unmapped(held: Integrated) -> None:
    if held.mapped:
        raise NoDerivativeError(MAPPED)


def _no_calculus(equation: Equation) -> str:
    return NO_CALCULUS.format(type(equation.adjoint).__name__)
