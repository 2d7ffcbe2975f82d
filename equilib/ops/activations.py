"""Activation functions."""

from __future__ import annotations

from math import pi, sqrt

from equilib.arrays import Array, array_namespace
from equilib.autodiff.boxes import static_value
from equilib.autodiff.rules import LinearMap, linear_rule, primitive
from equilib.ops.elementwise import add, diagonal, multiply, subtract

# Hendrycks & Gimpel 2016, arXiv:1606.08415, §2: the tanh form of the Gaussian error linear unit.
_GELU_SCALE = sqrt(2 / pi)
_GELU_CUBIC = 0.044715


@primitive
def tanh(x: Array) -> Array:
    """Return tanh x."""
    return array_namespace(x).tanh(x)


@linear_rule(tanh)
def _(ans: Array, x: Array) -> LinearMap:
    return diagonal(subtract(1.0, multiply(ans, ans)))


@primitive
def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e^−x), as ½ (1 + tanh(x/2)), which cannot overflow."""
    return 0.5 * (1.0 + array_namespace(x).tanh(0.5 * x))


@linear_rule(sigmoid)
def _(ans: Array, x: Array) -> LinearMap:
    return diagonal(multiply(ans, subtract(1.0, ans)))


@primitive
def relu(x: Array) -> Array:
    """Return x where it is positive, else 0; the derivative at 0 is 0."""
    xp = array_namespace(x)
    return xp.where(x > 0, x, xp.zeros_like(x))


@linear_rule(relu)
def _(ans: Array, x: Array) -> LinearMap:
    value = static_value(x)
    return diagonal(array_namespace(value).astype(value > 0, value.dtype))


@primitive
def gelu(x: Array) -> Array:
    """Return ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))) (arXiv:1606.08415, §2)."""
    inner = _GELU_SCALE * (x + _GELU_CUBIC * (x * x * x))
    return 0.5 * x * (1.0 + array_namespace(x).tanh(inner))


@linear_rule(gelu)
def _(ans: Array, x: Array) -> LinearMap:
    square = multiply(x, x)
    inner = multiply(multiply(x, add(1.0, multiply(square, _GELU_CUBIC))), _GELU_SCALE)
    gate = tanh(inner)
    inner_slope = multiply(add(1.0, multiply(square, 3 * _GELU_CUBIC)), _GELU_SCALE)
    gate_slope = multiply(subtract(1.0, multiply(gate, gate)), inner_slope)
    return diagonal(multiply(add(add(1.0, gate), multiply(x, gate_slope)), 0.5))
