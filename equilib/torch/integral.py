"""Integrations as functions of autograd: of the initial value, the output times, and all that f depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from equilib.errors import NoDerivativeError
from equilib.ode import OdeProblem
from equilib.torch.first_order import Cotangents
from equilib.torch.ode_equation import Equation, Integrated, host_times, no_calculus
from equilib.torch.ode_pullback import Pullback, pulled_back
from equilib.torch.resolved import folded, unfolded
from equilib.torch.transforms import (
    dual,
    in_forward_mode,
    primal,
    pulled,
    pushed,
    require_unbatched,
    transformed,
)

MAPPED = (
    "inside of vmap an integration that it maps has no derivative by the adjoint {}: take another one, such as "
    "'interpolating', or differentiate around vmap, as in grad of vmap"
)

MAPPED_TIMES = "vmap cannot map over output times: give y0 a batch axis and each sample its times, per_sample=True"

TIMES_ONCE = "output times have first derivatives in reverse mode only: give t as constants for other derivatives"


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
        equation.call.require_complete()
        if not (torch.is_grad_enabled() or transformed() or dual()):
            return None, None, *pulled_back(equation, held, g, timed, at)
        if hasattr(equation.adjoint, "unroll"):
            if timed is not None:
                raise NoDerivativeError(TIMES_ONCE)
            _require_unmapped(equation, held)
            return None, None, None, *pulled(lambda *given: _replayed(equation, held, given), at, g)
        return None, None, *Pullback.apply(no_calculus(equation), equation, held, g, timed, *at)

    @staticmethod
    def jvp(ctx: Any, _: Any, __: Any, t_dot: Tensor | None, *dots: Tensor | None) -> Tensor:
        """Return dy, by the steps replayed."""
        if not hasattr(ctx.equation.adjoint, "unroll"):
            raise NoDerivativeError(no_calculus(ctx.equation))
        if t_dot is not None:
            raise NoDerivativeError(TIMES_ONCE)
        _require_unmapped(ctx.equation, ctx.held)
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
        held.solution, held.grid, held.mapped = within.solution, within.grid, within
        return unfolded(y, info, y0, axis, 1), 1


class _Followed(OdeProblem):
    """y' = f(t, y) on tensors whose graph is kept."""

    def linearize(self, *_: Tensor) -> NoReturn:
        """Refuse what an implicit step needs."""
        raise NoDerivativeError(
            "tangents, second derivatives and those of torch.func, by the adjoint discrete, follow none: differentiate "
            "once, by torch.autograd"
        )


def _replayed(equation: Equation, held: Integrated, given: Sequence[Tensor]) -> Tensor:
    """Return y by the accepted steps, whose graph PyTorch keeps."""
    solution, grid, bridge = held.solution, held.grid, equation.bridge
    assert solution is not None and grid is not None  # noqa: PT018
    start, *leaves = given
    problem = _Followed(lambda t, y: equation.value(t, y, leaves, strict=True))
    y = equation.adjoint.unroll(problem, replace(solution, y=bridge.tensor(solution.y)), start)

    def select(mask: np.ndarray, chosen: Tensor, other: Tensor) -> Tensor:
        return torch.where(torch.from_numpy(mask).to(other.device)[:, None], chosen, other)

    return grid.take(y, select)


def _require_unmapped(equation: Equation, held: Integrated) -> None:
    if held.mapped is not None:
        raise NoDerivativeError(MAPPED.format(type(equation.adjoint).__name__))
