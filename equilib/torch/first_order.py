"""Cotangents as a function of autograd that has no derivative of its own, and says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from equilib.errors import NoDerivativeError

Cotangents = tuple[Tensor | None, ...]


class FirstOrder(torch.autograd.Function):
    """The cotangents `pullback(*at)`; `refusal` is why they have no derivative."""

    @staticmethod
    def forward(refusal: str, pullback: Callable[..., Sequence[Tensor | None]], *at: Tensor | None) -> Cotangents:
        """Ask the adjoint."""
        return tuple(pullback(*at))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep the refusal."""
        ctx.refusal = inputs[0]

    @staticmethod
    def backward(ctx: Any, *g: Tensor | None) -> Cotangents:
        """Raise `NoDerivativeError`."""
        raise NoDerivativeError(ctx.refusal)

    jvp = backward
