"""Reductions over axes."""

from __future__ import annotations

from math import prod

from equilib.arrays import Array, array_namespace
from equilib.autodiff.boxes import static_value
from equilib.autodiff.rules import LinearMap, linear_rule, primitive
from equilib.ops.elementwise import divide, exp, multiply, subtract
from equilib.ops.shapes import broadcast_to, reshape, shape_of
from equilib.ops.sums import Axes, sum_axes


def _kept(shape: tuple[int, ...], axis: Axes) -> tuple[int, ...]:
    """Return `shape` with the reduced axes kept as ones."""
    if axis is None:
        return (1,) * len(shape)
    reduced = {a % len(shape) for a in ((axis,) if isinstance(axis, int) else axis)}
    return tuple(1 if i in reduced else n for i, n in enumerate(shape))


def _spread(g: Array, shape: tuple[int, ...], axis: Axes) -> Array:
    return broadcast_to(reshape(g, _kept(shape, axis)), shape)


@primitive
def sum(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:  # noqa: A001, FBT001, FBT002  array API
    """Return the sum of x over `axis`."""
    return sum_axes(x, axis, keepdims=keepdims)


@linear_rule(sum)
def _(ans: Array, x: Array, axis: Axes = None, keepdims: bool = False) -> LinearMap:  # noqa: FBT001, FBT002
    shape = shape_of(x)
    return LinearMap(lambda v: sum(v, axis, keepdims), lambda g: _spread(g, shape, axis))


def mean(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:  # noqa: FBT001, FBT002  array API
    """Return the mean of x over `axis`."""
    shape = shape_of(x)
    count = prod(n for n, kept in zip(shape, _kept(shape, axis), strict=True) if n != kept)
    return divide(sum(x, axis, keepdims), float(count))


@primitive
def max(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:  # noqa: A001, FBT001, FBT002  array API
    """Return the largest element of x over `axis`; the derivative is shared equally where several tie."""
    return array_namespace(x).max(x, axis=axis, keepdims=keepdims)


@linear_rule(max)
def _(ans: Array, x: Array, axis: Axes = None, keepdims: bool = False) -> LinearMap:  # noqa: FBT001, FBT002
    value, top = static_value(x), static_value(ans)
    xp, shape = array_namespace(value), shape_of(x)
    winners = xp.astype(value == xp.reshape(xp.asarray(top), _kept(shape, axis)), value.dtype)
    share = winners / xp.sum(winners, axis=axis, keepdims=True)
    return LinearMap(
        lambda v: sum(multiply(v, share), axis, keepdims), lambda g: multiply(_spread(g, shape, axis), share)
    )


@primitive
def logsumexp(x: Array, axis: int = -1) -> Array:
    """Return log Σ exp(x) over one axis, without overflow."""
    xp = array_namespace(x)
    top = xp.max(x, axis=axis, keepdims=True)
    return xp.squeeze(top, axis=axis) + xp.log(xp.sum(xp.exp(x - top), axis=axis))


@linear_rule(logsumexp)
def _(ans: Array, x: Array, axis: int = -1) -> LinearMap:
    shape = shape_of(x)
    softmax = exp(subtract(x, reshape(ans, _kept(shape, axis))))
    return LinearMap(lambda v: sum(multiply(v, softmax), axis), lambda g: multiply(_spread(g, shape, axis), softmax))
