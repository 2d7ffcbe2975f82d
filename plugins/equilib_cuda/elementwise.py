"""Activations and their slopes, number by number."""

from __future__ import annotations

from typing import Any

from equilib_cuda import launches
from equilib_cuda.launches import KINDS, blocks, empty, launch, plain


def gelu(x: Any) -> Any:
    """Return gelu(x)."""
    return _activated(x, "gelu")


def gelu_slope(x: Any) -> Any:
    """Return the slope of gelu at x."""
    return _activated(x, "gelu_slope")


def sigmoid(x: Any) -> Any:
    """Return sigmoid(x)."""
    return _activated(x, "sigmoid")


def relu(x: Any) -> Any:
    """Return relu(x)."""
    return _activated(x, "relu")


def _activated(x: Any, kind: str) -> Any:
    out = empty(x.shape, x.dtype)
    launch("elementwise", "activate", x.dtype, blocks(x.size), launches.THREADS, plain(x), out, KINDS[kind], x.size)
    return out


def times_slope(v: Any, y: Any, activation: str) -> Any:
    """Return v φ'(x) where y = φ(x), of arrays of one shape."""
    out, given = empty(y.shape, y.dtype), None if v is None else plain(v)
    kind = KINDS[activation]
    launch("elementwise", "times_slope", y.dtype, blocks(y.size), launches.THREADS, given, plain(y), out, kind, y.size)
    return out


def tanh_slope(y: Any) -> Any:
    """Return 1 − y²."""
    return times_slope(None, y, "tanh")


def sigmoid_slope(y: Any) -> Any:
    """Return (1 − y) y."""
    return times_slope(None, y, "sigmoid")


def relu_slope(y: Any) -> Any:
    """Return 1 where y is positive, else 0."""
    return times_slope(None, y, "relu")
