"""Cotangents as functions of autograd that have no derivative of their own, and say so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from equilib.errors import NoDerivativeError

Cotangents = tuple[Tensor | None, ...]


MAPPED = (
    "inside of vmap a solve that it maps has no derivative by this adjoint: take adjoint='implicit', or differentiate "
    "around vmap, as in grad of vmap"
)


class FirstOrder(torch.autograd.Function):
    """Cotangents without a derivative; the first argument is why."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep the refusal."""
        ctx.refusal = inputs[0]

    @staticmethod
    def backward(ctx: Any, *g: Tensor | None) -> Cotangents:
        """Raise `NoDerivativeError`."""
        raise NoDerivativeError(ctx.refusal)

    jvp = backward


class Pulled(FirstOrder):
    """The cotangents `pullback(*at)`."""

    @staticmethod
    def forward(refusal: str, pullback: Callable[..., Sequence[Tensor | None]], *at: Tensor | None) -> Cotangents:
        """Ask the adjoint."""
        return tuple(pullback(*at))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], refusal: str, pullback: Callable[..., Any], g: Tensor, *at: Tensor | None
    ) -> Any:
        """Ask it for one cotangent after the other: nothing else may be mapped over."""
        if any(axis is not None for axis in in_dims[3:]):
            raise NoDerivativeError(MAPPED)
        lanes = range(info.batch_size)
        rows = [Pulled.apply(refusal, pullback, g.select(in_dims[2], lane), *at) for lane in lanes]
        found = tuple(None if column[0] is None else torch.stack(column) for column in zip(*rows, strict=True))
        return found, tuple(None if each is None else 0 for each in found)
