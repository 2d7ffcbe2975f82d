"""Pooling over windows of images. Images are channels last: (batch, height, width, channels)."""

from __future__ import annotations

from equilib.arrays import Array, array_namespace
from equilib.autodiff.boxes import static_value
from equilib.autodiff.rules import LinearMap, linear_rule, primitive, with_transposes
from equilib.kernels import operation
from equilib.ops.reductions import mean
from equilib.ops.shapes import shape_of
from equilib.ops.windows import Pair, check_images, check_windows, fold, patches


def average_pool(x: Array, window: Pair, stride: Pair) -> Array:
    """Return the mean of each window, shape (batch, H', W', C); raises ValueError as `patches` does."""
    return mean(patches(x, window, stride), 3)


@primitive
def max_pool(x: Array, window: Pair, stride: Pair) -> Array:
    """Return the largest value of each window, shape (batch, H', W', C); several that tie share the derivative.

    Raises ValueError as `patches` does.
    """
    check_images(x)
    check_windows(window, stride)
    return _largest(x, window, stride)


@operation("max_pool")
def _largest(x: Array, window: Pair, stride: Pair) -> Array:
    return array_namespace(x).max(patches(x, window, stride), axis=3)


@linear_rule(max_pool)
def _(ans: Array, x: Array, window: Pair, stride: Pair) -> LinearMap:
    where = static_value(x), static_value(ans), window, stride
    return LinearMap(lambda v: _push(v, *where), lambda g: _pull(g, *where))


@with_transposes(lambda v, *where: lambda g: _pull(g, *where))
@operation("max_pool_push", leading=lambda v, x, *where: x)
def _push(v: Array, x: Array, top: Array, window: Pair, stride: Pair) -> Array:
    return array_namespace(x).sum(patches(v, window, stride) * _shares(x, top, window, stride), axis=3)


@with_transposes(lambda g, *where: lambda v: _push(v, *where))
@operation("max_pool_pull", leading=lambda g, x, *where: x)
def _pull(g: Array, x: Array, top: Array, window: Pair, stride: Pair) -> Array:
    spread = array_namespace(x).expand_dims(g, axis=3) * _shares(x, top, window, stride)
    return fold(spread, shape_of(x), window, stride)


def _shares(x: Array, top: Array, window: Pair, stride: Pair) -> Array:
    """Return of each window how much of its derivative each pixel has: 1 divided by how many tie, or 0."""
    xp = array_namespace(x)
    ties = xp.astype(patches(x, window, stride) == xp.expand_dims(top, axis=3), x.dtype)
    return ties / xp.sum(ties, axis=3, keepdims=True)
