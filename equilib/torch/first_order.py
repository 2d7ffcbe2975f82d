"""Cotangents as functions of autograd that have no derivative of their own, and say so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from equilib.errors import NoDerivativeError

Cotangents = tuple[Tensor | None, ...]


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
