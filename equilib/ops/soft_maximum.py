"""Softmax and its logarithm."""

from __future__ import annotations

from equilib.arrays import Array, array_namespace
from equilib.autodiff.rules import LinearMap, linear_rule, primitive
from equilib.ops.elementwise import multiply, subtract
from equilib.ops.reductions import logsumexp
from equilib.ops.reductions import sum as sum_over
from equilib.ops.shapes import expand_dims


@primitive
def softmax(x: Array, axis: int = -1) -> Array:
    """Return exp(x) / Σ exp(x) over one axis, of the shape of x, without overflow."""
    xp = array_namespace(x)
    powers = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return powers / xp.sum(powers, axis=axis, keepdims=True)


@linear_rule(softmax)
def _(ans: Array, x: Array, axis: int = -1) -> LinearMap:
    def symmetric(v: Array) -> Array:
        # y (v − Σ y v): a symmetric map, hence its own transpose.
        return multiply(ans, subtract(v, sum_over(multiply(ans, v), axis, keepdims=True)))

    return LinearMap(symmetric, symmetric)


def log_softmax(logits: Array, axis: int = -1) -> Array:
    """Return logits − log Σ exp(logits) over one axis, of the shape of the logits."""
    return subtract(logits, expand_dims(logsumexp(logits, axis), axis))
