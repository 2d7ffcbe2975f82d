"""Activation functions, and their slopes."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt

import numpy as np

from equilib.arrays import Array, array_namespace, differentiates, is_half
from equilib.autodiff.boxes import static_value
from equilib.autodiff.rules import LinearMap, linear_rule, primitive
from equilib.kernels import operation
from equilib.ops.elementwise import add, diagonal, floating, maximum, minimum, multiply, subtract

# Hendrycks & Gimpel 2016, arXiv:1606.08415, §2: the tanh form of the Gaussian error linear unit.
_GELU_SCALE = sqrt(2 / pi)
_GELU_CUBIC = 0.044715
_GELU_FLAT = 20.0
"""From here on the gate of gelu is 0 or 1 in every precision."""


@primitive
@operation("tanh")
def tanh(x: Array) -> Array:
    """Return tanh x, of the shape of x."""
    return array_namespace(x).tanh(x)


@operation("tanh_slope")
def tanh_slope(y: Array) -> Array:
    """Return the slope of tanh where its value is y."""
    return subtract(1.0, multiply(y, y))


@linear_rule(tanh)
def _(ans: Array, x: Array) -> LinearMap:
    return diagonal(tanh_slope(ans))


@primitive
@operation("sigmoid")
def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e^−x), of the shape of x, as exact where it is near 0 as elsewhere."""
    x = floating(x)
    xp = array_namespace(x)
    if xp is np and np.result_type(x).itemsize > 2:
        with np.errstate(over="ignore", under="ignore"):  # where e^−x is infinite, 0 is right
            return 1.0 / (1.0 + np.exp(-x))
    # Other libraries may differentiate this themselves: e^−x must not be infinite.
    negative = x < 0
    small = xp.exp(xp.where(negative, x, -x))
    return xp.where(negative, small, xp.ones_like(small)) / (1.0 + small)


@operation("sigmoid_slope")
def sigmoid_slope(y: Array) -> Array:
    """Return the slope of the sigmoid where its value is y."""
    return multiply(subtract(1.0, y), y)


@linear_rule(sigmoid)
def _(ans: Array, x: Array) -> LinearMap:
    return diagonal(sigmoid_slope(ans))


@primitive
@operation("relu")
def relu(x: Array) -> Array:
    """Return the larger of x and 0, of the shape of x; the derivative at 0 is 0."""
    xp = array_namespace(x)
    if differentiates(x):  # a maximum shares the slope where both are equal
        return xp.where(x <= 0, xp.zeros_like(x), x)
    x = x if hasattr(x, "dtype") else xp.asarray(x)
    return xp.maximum(x, xp.zeros((), dtype=x.dtype, device=getattr(x, "device", None)))


@operation("relu_slope")
def _relu_slope(y: Array) -> Array:
    xp = array_namespace(y)
    return xp.astype(y > 0, y.dtype) if hasattr(y, "dtype") else xp.asarray(float(y > 0))


def relu_slope(y: Array) -> Array:
    """Return the slope of relu where its value, or its argument, is y: a constant."""
    return _relu_slope(static_value(y))


@linear_rule(relu)
def _(ans: Array, x: Array) -> LinearMap:
    return diagonal(relu_slope(ans))


@primitive
@operation("gelu")
def gelu(x: Array) -> Array:
    """Return ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), of the shape of x (arXiv:1606.08415, §2)."""
    x = floating(x)
    xp = array_namespace(x)
    # Neither half precision's x³ nor, where others differentiate it, its slope may be infinite; tanh takes infinity.
    near = xp.clip(x, -_GELU_FLAT, _GELU_FLAT) if differentiates(x) or is_half(x) else x
    with np.errstate(over="ignore"):
        inner = near * (near * near * (_GELU_SCALE * _GELU_CUBIC) + _GELU_SCALE)
    return (xp.tanh(inner) + 1.0) * 0.5 * x


@operation("gelu_slope")
def gelu_slope(x: Array) -> Array:
    """Return the slope of gelu at the argument x."""
    x = minimum(maximum(x, -_GELU_FLAT), _GELU_FLAT)  # x² may be out of range; clip is a dozen kernels of CuPy's
    square = multiply(x, x)
    gate = tanh(multiply(add(multiply(square, _GELU_SCALE * _GELU_CUBIC), _GELU_SCALE), x))
    half = multiply(add(multiply(square, 1.5 * _GELU_SCALE * _GELU_CUBIC), 0.5 * _GELU_SCALE), x)
    return multiply(add(gate, 1.0), add(multiply(subtract(1.0, gate), half), 0.5))


@linear_rule(gelu)
def _(ans: Array, x: Array) -> LinearMap:
    return diagonal(gelu_slope(x))


@primitive
def softplus(x: Array) -> Array:
    """Return log(1 + e^x), of the shape of x, as max(x, 0) + log(1 + e^−|x|), which cannot overflow."""
    x = floating(x)
    xp = array_namespace(x)
    if differentiates(x):  # |x| has no slope at 0
        below = x < 0
        return xp.where(below, xp.zeros_like(x), x) + xp.log1p(xp.exp(xp.where(below, x, -x)))
    return relu(x) + xp.log1p(xp.exp(-xp.abs(x)))


@linear_rule(softplus)
def _(ans: Array, x: Array) -> LinearMap:
    return diagonal(sigmoid(x))


@primitive
def silu(x: Array) -> Array:
    """Return x / (1 + e^−x), of the shape of x (arXiv:1606.08415, §4; "swish")."""
    return x * sigmoid(x)


@linear_rule(silu)
def _(ans: Array, x: Array) -> LinearMap:
    gate = sigmoid(x)
    # σ (1 + x (1 − σ)); where x is large 1 − σ is 0.
    return diagonal(multiply(gate, add(1.0, multiply(x, subtract(1.0, gate)))))


BY_VALUE: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "tanh": (tanh, tanh_slope),
    "sigmoid": (sigmoid, sigmoid_slope),
    "relu": (relu, relu_slope),
}
"""The functions whose slope follows from their value, and that slope."""


@operation("times_slope")
def times_slope(v: Array, y: Array, activation: str) -> Array:
    """Return v φ'(x), of the shape of v, where y = φ(x) for the activation of that name, one of `BY_VALUE`."""
    return multiply(v, BY_VALUE[activation][1](y))
