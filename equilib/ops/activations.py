"""Activation functions."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np

from equilib.arrays import Array, array_namespace
from equilib.autodiff.boxes import static_value
from equilib.autodiff.rules import LinearMap, linear_rule, primitive
from equilib.ops.elementwise import add, diagonal, multiply, subtract
from equilib.ops.host.blocks import elementwise, on_host

# Hendrycks & Gimpel 2016, arXiv:1606.08415, §2: the tanh form of the Gaussian error linear unit.
_GELU_SCALE = sqrt(2 / pi)
_GELU_CUBIC = 0.044715


@primitive
def tanh(x: Array) -> Array:
    """Return tanh x, of the shape of x."""
    return array_namespace(x).tanh(x)


@linear_rule(tanh)
def _(ans: Array, x: Array) -> LinearMap:
    if on_host(ans):
        return diagonal(elementwise(_tanh_slope, ans, operations=2))
    return diagonal(subtract(1.0, multiply(ans, ans)))


def _tanh_slope(out: np.ndarray, y: np.ndarray) -> None:
    np.multiply(y, y, out=out)
    np.subtract(1, out, out=out)


@primitive
def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e^−x), of the shape of x, as ½ (1 + tanh(x/2)), which cannot overflow."""
    if on_host(x):
        return elementwise(_sigmoid, x, operations=4)
    return 0.5 * (1.0 + array_namespace(x).tanh(0.5 * x))


def _sigmoid(out: np.ndarray, x: np.ndarray) -> None:
    np.multiply(x, 0.5, out=out)
    np.tanh(out, out=out)
    out += 1
    out *= 0.5


@linear_rule(sigmoid)
def _(ans: Array, x: Array) -> LinearMap:
    if on_host(ans):
        return diagonal(elementwise(_sigmoid_slope, ans, operations=2))
    return diagonal(multiply(ans, subtract(1.0, ans)))


def _sigmoid_slope(out: np.ndarray, y: np.ndarray) -> None:
    np.subtract(1, y, out=out)
    out *= y


@primitive
def relu(x: Array) -> Array:
    """Return the larger of x and 0, of the shape of x; the derivative at 0 is 0."""
    xp = array_namespace(x)
    return xp.maximum(x, xp.zeros((), dtype=x.dtype, device=getattr(x, "device", None)))


@linear_rule(relu)
def _(ans: Array, x: Array) -> LinearMap:
    value = static_value(x)
    return diagonal(array_namespace(value).astype(value > 0, value.dtype))


@primitive
def gelu(x: Array) -> Array:
    """Return ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), of the shape of x (arXiv:1606.08415, §2)."""
    if on_host(x):
        return elementwise(_gelu, x, operations=8)
    inner = _GELU_SCALE * (x + _GELU_CUBIC * (x * x * x))
    return 0.5 * x * (1.0 + array_namespace(x).tanh(inner))


def _gelu(out: np.ndarray, x: np.ndarray) -> None:
    np.multiply(x, x, out=out)
    _gelu_gate(out, x)
    out += 1
    out *= 0.5
    out *= x


def _gelu_gate(square: np.ndarray, x: np.ndarray) -> None:
    """Replace x² by tanh(√(2/π) (x + 0.044715 x³))."""
    square *= _GELU_SCALE * _GELU_CUBIC
    square += _GELU_SCALE
    square *= x
    np.tanh(square, out=square)


@linear_rule(gelu)
def _(ans: Array, x: Array) -> LinearMap:
    if on_host(x):
        return diagonal(elementwise(_gelu_slope, x, operations=14, scratch=2))
    square = multiply(x, x)
    inner = multiply(multiply(x, add(1.0, multiply(square, _GELU_CUBIC))), _GELU_SCALE)
    gate = tanh(inner)
    inner_slope = multiply(add(1.0, multiply(square, 3 * _GELU_CUBIC)), _GELU_SCALE)
    gate_slope = multiply(subtract(1.0, multiply(gate, gate)), inner_slope)
    return diagonal(multiply(add(add(1.0, gate), multiply(x, gate_slope)), 0.5))


def _gelu_slope(out: np.ndarray, x: np.ndarray, gate: np.ndarray, rest: np.ndarray) -> None:
    np.multiply(x, x, out=gate)
    np.multiply(gate, 3 * _GELU_SCALE * _GELU_CUBIC, out=out)
    out += _GELU_SCALE
    _gelu_gate(gate, x)
    np.multiply(gate, gate, out=rest)
    np.subtract(1, rest, out=rest)
    out *= rest
    out *= x  # last: for large x the slope of the gate is 0, x³ is not finite
    gate += 1
    out += gate
    out *= 0.5
