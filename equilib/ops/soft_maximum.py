"""Softmax and its logarithm."""

from __future__ import annotations

import numpy as np

from equilib.arrays import Array, array_namespace, is_half, zeros_like
from equilib.autodiff.rules import LinearMap, linear_rule, primitive
from equilib.ops.elementwise import floating, multiply, subtract
from equilib.ops.half_precision import in_single
from equilib.ops.reductions import logsumexp
from equilib.ops.reductions import sum as sum_over
from equilib.ops.shapes import expand_dims, place_of, shape_of


def softmax(x: Array, axis: int = -1) -> Array:
    """Return exp(x) / Σ exp(x) over one axis, of the shape of x, without overflow."""
    return in_single(_softmax, x, axis) if is_half(x) else _softmax(floating(x), axis)


@primitive
def _softmax(x: Array, axis: int) -> Array:
    xp = np if type(x) is np.ndarray else array_namespace(x)
    shape = shape_of(x)
    if not shape[place_of(axis, shape)]:
        return zeros_like(x)
    powers = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return powers / xp.sum(powers, axis=axis, keepdims=True)


@linear_rule(_softmax)
def _(ans: Array, x: Array, axis: int) -> LinearMap:
    def symmetric(v: Array) -> Array:
        # y (v − Σ y v): a symmetric map, hence its own transpose.
        return multiply(ans, subtract(v, sum_over(multiply(ans, v), axis, keepdims=True)))

    return LinearMap(symmetric, symmetric)


def log_softmax(logits: Array, axis: int = -1) -> Array:
    """Return logits − log Σ exp(logits) over one axis, of the shape of the logits."""
    if is_half(logits):
        return in_single(log_softmax, logits, axis)
    logits = floating(logits)
    return subtract(logits, expand_dims(logsumexp(logits, axis), axis))
