"""One initial value problem in PyTorch: how it is integrated and linearized, and the record of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from equilib.arrays import Array
from equilib.fixed_points.evaluator import Counts
from equilib.fixed_points.linearization import Linearization
from equilib.ode import OdeOptions, OdeProblem, integrate
from equilib.ode.calculus.differentiable import NO_CALCULUS
from equilib.ode.grids import Subgrid
from equilib.ode.solution import OdeSolution
from equilib.ode.times import checked_times
from equilib.torch.bridge import Bridge
from equilib.torch.call import Call, without_autocast
from equilib.torch.products import linearization, of_leaves
from equilib.torch.transforms import differentiable


@dataclass(eq=False)
class Integrated:
    """What an integration left: the solution at all times, those asked for, and what derivatives solved.

    `mapped` is what the integration of all lanes side by side left, where vmap maps it; the solution is that one's.
    """

    solution: OdeSolution | None = None
    grid: Subgrid | None = None
    mapped: Integrated | None = None
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
            if not lanes:
                return y
            values: Tensor = inner(t if timed is None else split(t), split(y), *leaves)
            return values.flatten(0, 1)

        return replace(self, mapped=mapped, lanes=lanes * self.lanes)

    def value(self, t: Tensor, y: Tensor, leaves: Sequence[Tensor], *, strict: bool = False) -> Tensor:
        """Return y', shape (batch, size), at times of shape (lanes, 1)."""
        if self.mapped is not None:
            return self.mapped(t, y, *leaves)
        time = t.reshape(t.shape[:1] + (1,) * (self.call.layout.axes - 1)) if self.call.layout.axes else t.reshape(())
        return self.call.with_leaves((time, y), leaves, strict=strict)

    def problem(self, leaves: Sequence[Tensor], *, strict: bool = True) -> OdeProblem:
        """Return the problem whose inputs are the leaves, plain tensors, as arrays; `strict` as in `Call.with_leaves`.

        Without, products with derivatives by y are all that its linearizations are for.
        """
        bridge, plain = self.bridge, [leaf.detach() for leaf in leaves]
        for leaf in plain:
            if leaf.layout is not torch.strided:
                raise TypeError(f"an integration takes dense inputs, one is {leaf.layout}; give its to_dense()")
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
                slope = self.value(bridge.tensor(t), at, copies, strict=strict)
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
                self.problem(leaves, strict=False), start, held.grid.finer, self.integrator, self.options, **how
            )

    def known(self, solution: OdeSolution, grid: Subgrid) -> OdeSolution:
        """Return a solution with states as the user knows them."""
        layout, y = self.call.layout, self.bridge.tensor(grid.take(solution.y))
        y = y if y.shape[1] != layout.batch and not layout.batched else layout.unpack(y)
        return replace(solution, t=grid.times, y=y, dense=None, record=())


def host_times(t: Any) -> Any:
    """Return output times on the host, float64 where they are a tensor of real numbers."""
    if not isinstance(t, Tensor):
        return t
    host = t.detach().cpu()
    return (host.resolve_conj() if t.is_complex() else host.double()).numpy()


def no_calculus(equation: Equation) -> str:
    """Return why an integration has no other derivatives by its adjoint."""
    return NO_CALCULUS.format(type(equation.adjoint).__name__)
