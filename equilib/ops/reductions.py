"""Reductions over axes, and linear combinations of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from equilib import arrays as plain
from equilib.arrays import Array, array_namespace, is_half
from equilib.autodiff.boxes import static_value
from equilib.autodiff.rules import LinearMap, joint_rule, linear_rule, primitive, with_transposes
from equilib.ops.elementwise import divide, exp, floating, multiply, sqrt, subtract, where
from equilib.ops.half_precision import in_single
from equilib.ops.shapes import Axes, broadcast_to, place_of, places_of, reshape, shape_of, sum_axes


def _kept(shape: tuple[int, ...], axis: Axes) -> tuple[int, ...]:
    """Return `shape` with the reduced axes kept as ones."""
    reduced = places_of(axis, shape)
    return tuple(1 if i in reduced else n for i, n in enumerate(shape))


def _count(shape: tuple[int, ...], axis: Axes) -> int:
    """Return how many elements one sum over `axis` has."""
    if axis is None:
        return prod(shape)
    return prod([shape[place] for place in places_of(axis, shape)])


def _spread(g: Array, shape: tuple[int, ...], axis: Axes) -> Array:
    return broadcast_to(reshape(g, _kept(shape, axis)), shape)


@with_transposes(lambda x, axis=None, keepdims=False: lambda w: _spread(w, shape_of(x), axis))
def sum(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:  # noqa: A001, FBT001, FBT002  array API
    """Return the sum of x over `axis`, of the shape of x without it; of shape () over all axes, None."""
    return sum_axes(x, axis, keepdims)


def mean(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:  # noqa: FBT001, FBT002  array API
    """Return the mean of x over `axis`, in the shape of `sum`."""
    if is_half(x):
        return in_single(mean, x, axis, keepdims)
    return divide(sum(x, axis, keepdims), float(_count(shape_of(x), axis)))


def var(x: Array, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Array:  # noqa: FBT001, FBT002
    """Return the variance of x over `axis`, Σ (x − mean)² / (count − correction), in the shape of `sum`."""
    if is_half(x):
        return in_single(var, x, axis, correction, keepdims)
    x = floating(x)
    centred = subtract(x, mean(x, axis, keepdims=True))
    return divide(sum(multiply(centred, centred), axis, keepdims), float(_count(shape_of(x), axis)) - correction)


def std(x: Array, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Array:  # noqa: FBT001, FBT002
    """Return the root of `var`, in its shape; where all elements are equal the derivative is 0."""
    if is_half(x):
        return in_single(std, x, axis, correction, keepdims)
    square = var(x, axis, correction, keepdims)
    constant = static_value(square) == 0
    return where(constant, 0.0, sqrt(where(constant, 1.0, square)))


@primitive
def max(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:  # noqa: A001, FBT001, FBT002  array API
    """Return the largest element of x over `axis`, in the shape of `sum`; several that tie share the derivative.

    Raises ValueError over an axis of length 0.
    """
    _check_some(x, axis)
    return array_namespace(x).max(x, axis=axis, keepdims=keepdims)


@primitive
def min(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:  # noqa: A001, FBT001, FBT002  array API
    """Return the smallest element of x over `axis`, in the shape of `sum`; several that tie share the derivative.

    Raises ValueError over an axis of length 0.
    """
    _check_some(x, axis)
    return array_namespace(x).min(x, axis=axis, keepdims=keepdims)


def _check_some(x: Array, axis: Axes) -> None:
    shape = shape_of(x)
    places = places_of(axis, shape)
    if 0 in shape and any(not shape[place] for place in places):
        raise ValueError(f"nothing is largest or least over axis {axis} of shape {shape}, where there are no elements")


@linear_rule(min)
@linear_rule(max)
def _(ans: Array, x: Array, axis: Axes = None, keepdims: bool = False) -> LinearMap:  # noqa: FBT001, FBT002
    value, top = static_value(x), static_value(ans)
    xp, shape = array_namespace(top), shape_of(x)
    winners = xp.astype(value == xp.reshape(xp.asarray(top), _kept(shape, axis)), top.dtype)
    share = winners / sum_axes(winners, axis, keepdims=True)
    return LinearMap(
        lambda v: sum(multiply(v, share), axis, keepdims), lambda g: multiply(_spread(g, shape, axis), share)
    )


def logsumexp(x: Array, axis: int = -1) -> Array:
    """Return log Σ exp(x) over one axis, which the result's shape lacks, without overflow; −∞ over none."""
    return in_single(_logsumexp, x, axis) if is_half(x) else _logsumexp(floating(x), axis)


@primitive
def _logsumexp(x: Array, axis: int) -> Array:
    xp = np if type(x) is np.ndarray else array_namespace(x)
    shape = shape_of(x)
    if not shape[place_of(axis, shape)]:
        return xp.sum(x, axis=axis) - xp.inf
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))  # ∞ − ∞ is nothing
    return xp.squeeze(top, axis=axis) + xp.log(xp.sum(xp.exp(x - top), axis=axis))


@linear_rule(_logsumexp)
def _(ans: Array, x: Array, axis: int) -> LinearMap:
    shape = shape_of(x)
    softmax = exp(subtract(x, reshape(ans, _kept(shape, axis))))
    return LinearMap(lambda v: sum(multiply(v, softmax), axis), lambda g: multiply(_spread(g, shape, axis), softmax))


def weighted_sum(base: Array | None, weights: Sequence[float | Array], arrays: Sequence[Array]) -> Array:
    """Return base + Σ wᵢ aᵢ for arrays of one shape and dtype.

    The weights are constants: numbers, or arrays of that dtype that broadcast against the others. One operation,
    however many terms: the steps of an integrator are made of such sums.
    """
    return _weighted_sum(tuple(weights), base, *arrays)


@primitive
def _weighted_sum(weights: tuple[float | Array, ...], base: Array | None, *arrays: Array) -> Array:
    return plain.weighted_sum(base, weights, arrays)


@joint_rule(_weighted_sum)
class _WeightedSumMap:
    """The derivative of `weighted_sum`, which is linear."""

    __slots__ = ("weights",)

    def __init__(self, argnums: tuple[int, ...], ans: Array, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.weights = [None if argnum == 1 else args[0][argnum - 2] for argnum in argnums]

    def push(self, positions: Sequence[int], tangents: Sequence[Array]) -> Array:
        weights = [self.weights[position] for position in positions]
        return weighted_sum(None, [1.0 if weight is None else weight for weight in weights], tangents)

    def pull(self, positions: Sequence[int], cotangent: Array) -> Sequence[Array]:
        weights = [self.weights[position] for position in positions]
        return [cotangent if weight is None else multiply(cotangent, weight) for weight in weights]
