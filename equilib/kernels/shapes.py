"""Tests of the shapes of an operation's arguments, for `Kernel.applies`: they say no to what the formula would refuse.

They are functions of all arguments of an operation, by position.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

Array = Any

CONVOLUTIONS = (
    "conv2d",
    "conv2d_block",
    "conv2d_block_push",
    "conv2d_input_transpose",
    "conv2d_block_pull",
    "conv2d_weight_transpose",
    "conv2d_block_weight",
)
"""The operations on images, each with a test of its name."""

_LONG = 8
"""Numbers of a row, at least: shorter ones are added no faster."""


def one(x: Array, *rest: Any) -> bool:
    """Tell whether there is something to compute; any shape will do."""
    return bool(x.size)


def two(one: Array, other: Array, *rest: Any) -> bool:
    """Tell whether two arrays have one shape."""
    return bool(one.shape == other.shape and one.size and one.ndim)


def axes_together(shape: tuple[int, ...], axis: int | tuple[int, ...] | None) -> tuple[int, int] | None:
    """Return the first axis and the one after the last, if these follow one another and long rows follow them."""
    if axis is None:
        return None
    axes = sorted((axis,) if isinstance(axis, int) else axis)
    if (
        not axes
        or axes != list(range(axes[0], axes[0] + len(axes)))
        or not -len(shape) <= axes[0] <= axes[-1] < len(shape)
    ):
        return None
    first = axes[0] % len(shape)
    end = first + len(axes)
    return (first, end) if prod(shape[end:]) >= _LONG else None


def sum_rows(x: Array, axis: Any, keepdims: bool) -> bool:  # noqa: FBT001  by position
    """Tell whether rows are added up: axes of a shape that follow one another, but not the last."""
    return bool(x.size) and axes_together(x.shape, axis) is not None


def _alike(like: Array, arrays: Sequence[Array]) -> bool:
    return like.size > 0 and like.ndim > 0 and all(each.shape == like.shape for each in arrays)


def weighted_sum(base: Array | None, weights: Sequence[Any], arrays: Sequence[Array]) -> bool:
    """Tell whether the weights are numbers, one for each array, all of one shape."""
    if len(weights) != len(arrays) or not arrays or any(type(each) is not float for each in weights):
        return False
    return _alike(arrays[0], arrays) and (base is None or base.shape == arrays[0].shape)


def combined(base: Array | None, weights: Array, arrays: Sequence[Array]) -> bool:
    """Tell whether there is one weight for each sample and array, all of one shape."""
    like = arrays[0] if base is None else base
    return _alike(like, arrays) and weights.shape == (len(like), len(arrays))


def overlaps(arrays: Sequence[Array], x: Array) -> bool:
    """Tell whether all arrays have one shape."""
    return len(arrays) > 0 and _alike(x, arrays)


orthogonalized = overlaps


def adam(*given: Any) -> bool:
    """Tell whether gradient and moments have the shapes of the parameters, none of which is empty."""
    return all(p.size > 0 and all(each.shape == p.shape for each in rest) for p, *rest in zip(*given[:4], strict=True))


def derivative(v: Array, x: Array, *rest: Any) -> bool:
    """Tell whether a vector has the shape of the features that were normalized."""
    return bool(v.shape == x.shape and x.size)


def max_pool(x: Array, window: Any, stride: Any) -> bool:
    """Tell whether windows fit into images, shape (batch, rows, columns, channels)."""
    return x.ndim == 4 and x.size > 0 and all(0 < window[axis] <= x.shape[1 + axis] for axis in (0, 1))


def _pooled(x: Array, top: Array, window: Any, stride: Any) -> bool:
    lengths = ((x.shape[1 + axis] - window[axis]) // stride[axis] + 1 for axis in (0, 1))
    return max_pool(x, window, stride) and top.shape == (len(x), *lengths, x.shape[3])


def max_pool_push(v: Array, x: Array, top: Array, window: Any, stride: Any) -> bool:
    """Tell whether a tangent has the shape of the images, and the largest values that of their windows."""
    return v.shape == x.shape and _pooled(x, top, window, stride)


def max_pool_pull(g: Array, x: Array, top: Array, window: Any, stride: Any) -> bool:
    """Tell whether a cotangent has the shape of the largest values of the images."""
    return g.shape == top.shape and _pooled(x, top, window, stride)


def norms(matrices: Sequence[Array], mean: bool) -> bool:  # noqa: FBT001  by position
    """Tell whether all matrices have one shape, and columns."""
    return _alike(matrices[0], matrices) and matrices[0].ndim == 2


def conv2d(x: Array, weight: Array, stride: Any, padding: Any) -> bool:
    """Tell whether there is something to convolve; no shape may have a zero."""
    return bool(x.size and weight.size)


def conv2d_block(x: Array, weight: Array, before: Any, after: Any, activation: str, stride: Any, padding: Any) -> bool:
    """Tell whether what is added has the shape of a pixel of the result, or of the result."""
    outputs, result = weight.shape[3:], _result(x, weight, stride, padding)
    added = (each for each in (before, after) if each is not None)
    return all(each.shape in (outputs, result) for each in added) and conv2d(x, weight, stride, padding)


def _result(x: Array, weight: Array, stride: Any, padding: Any) -> tuple[int, ...]:
    lengths = ((x.shape[1 + axis] + sum(padding[axis]) - weight.shape[axis]) // stride[axis] + 1 for axis in (0, 1))
    return (len(x), *lengths, weight.shape[3])


def conv2d_block_push(v: Array, weight: Array, y: Array, activation: str, stride: Any, padding: Any) -> bool:
    """Tell whether y has the shape of the result."""
    return y.shape == _result(v, weight, stride, padding) and conv2d(v, weight, stride, padding)


def conv2d_input_transpose(g: Array, weight: Array, shape: Any, stride: Any, padding: Any) -> bool:
    """Tell whether there is something to convolve; no shape may have a zero."""
    return bool(g.size and weight.size)


def conv2d_block_pull(
    g: Array, weight: Array, y: Array, activation: str, shape: Any, stride: Any, padding: Any
) -> bool:
    """Tell whether y has the shape of the cotangent."""
    return g.shape == y.shape and conv2d_input_transpose(g, weight, shape, stride, padding)


def conv2d_weight_transpose(x: Array, g: Array, kernel: Any, stride: Any, padding: Any) -> bool:
    """Tell whether there is something to multiply; no shape may have a zero."""
    return bool(x.size and g.size)


def conv2d_block_weight(x: Array, g: Array, y: Array, activation: str, kernel: Any, stride: Any, padding: Any) -> bool:
    """Tell whether y has the shape of the cotangent."""
    return g.shape == y.shape and conv2d_weight_transpose(x, g, kernel, stride, padding)
