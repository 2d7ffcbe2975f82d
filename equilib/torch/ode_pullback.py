"""Cotangents of an integration as a function of autograd, which `vmap` may map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from equilib.adjoints.sensitivity import check_pulled
from equilib.errors import NoDerivativeError
from equilib.fixed_points.evaluator import counted
from equilib.fixed_points.solution import check_success, of_adjoint
from equilib.ode.calculus.output_times import times_bar
from equilib.ode.solution import IntegrationError, IntegrationWarning
from equilib.torch.call import without_autocast
from equilib.torch.first_order import Cotangents, FirstOrder
from equilib.torch.ode_equation import Equation, Integrated
from equilib.torch.transforms import differentiable

TIMES_AROUND = (
    "inside of vmap output times have no derivative: differentiate around vmap, as in grad of vmap, or give constants"
)


class Pullback(FirstOrder):
    """The cotangents of the times, of y(t₀) and of the leaves for that of y, which have no derivative themselves."""

    @staticmethod
    def forward(
        refusal: str, equation: Equation, held: Integrated, g: Tensor, t: Tensor | None, *at: Tensor
    ) -> Cotangents:
        """Ask the adjoint."""
        return tuple(pulled_back(equation, held, g, t, at))

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[Any, ...],
        refusal: str,
        equation: Equation,
        held: Integrated,
        g: Tensor,
        t: Any,
        *at: Tensor,
    ) -> Any:
        """Ask for those of all lanes as one batch; where cotangents alone are mapped, one after the other."""
        _, _, _, axis, _, *axes = in_dims
        lanes = info.batch_size
        if all(each is None for each in axes):
            each = [Pullback.apply(refusal, equation, held, one, t, *at) for one in g.unbind(axis)]
            stacked = tuple(None if same[0] is None else torch.stack(same) for same in zip(*each, strict=True))
            return stacked, tuple(None if bar is None else 0 for bar in stacked)
        if t is not None:
            raise NoDerivativeError(TIMES_AROUND)
        assert held.mapped is not None  # what is mapped here was mapped when it was integrated
        ahead = [
            each.expand(lanes, *each.shape) if axis is None else each.movedim(axis, 0)
            for each, axis in zip((g, *at), (axis, *axes), strict=True)
        ]
        each_g, y0, *leaves = ahead
        # A leaf that all lanes share has a cotangent in each.
        inner = equation.over(lanes, [0] * len(leaves), info.randomness)
        rows = each_g.movedim(0, 1).flatten(1, 2), y0.flatten(0, 1)
        _, start, *bars = Pullback.apply(refusal, inner, held.mapped, rows[0], None, rows[1], *leaves)
        found = (None, start.unflatten(0, (lanes, start.shape[0] // lanes)), *bars)
        return found, tuple(None if bar is None else 0 for bar in found)


def pulled_back(
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
        check_pulled(equation.adjoint, found, problem.inputs)
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
