"""Epilogues of a layer: the activation and the sum that follow it, in one operation with it where it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.ops.activations import BY_VALUE
from equilib.ops.convolution_block import IDENTITY


@runtime_checkable
class TakesEpilogue(Protocol):
    """**Protocol:** a layer that computes what follows it in one operation, such as a convolution.

    What is made of layers offers it what comes after; `with_epilogue(params, x, activation, after)` is
    φ(layer(params, x)) + after, to rounding, and so are its derivatives.
    """

    def with_epilogue(self, params: Tree, x: Array, activation: str, after: Array | None) -> Array:
        """Return φ(layer(x)) + after, of the shape of layer(x); φ is "identity", "tanh", "sigmoid" or "relu"."""


def activation_name(function: Callable[..., Any]) -> str | None:
    """Return what an epilogue calls a function; None where it cannot be part of one."""
    return next((name for name, (known, _) in BY_VALUE.items() if known is function), None)


def apply(layer: Any, params: Tree, x: Array, activation: str = IDENTITY, after: Array | None = None) -> Array:
    """Return φ(layer(params, x)) + after, in one operation where the layer can."""
    if activation == IDENTITY and after is None:
        return layer(params, x)
    if hasattr(layer, "with_epilogue"):
        return layer.with_epilogue(params, x, activation, after)
    y = layer(params, x)
    y = y if activation == IDENTITY else BY_VALUE[activation][0](y)
    return y if after is None else ops.add(y, after)
