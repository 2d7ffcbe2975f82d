"""Tests of the shapes of an operation's arguments: whether a kernel can compute them. They import nothing.

Compiled code trusts shapes, so these say no to whatever the formula would refuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from equilib_numba.axes import axes_together

_FEW = 16
"""Channels of which the transforms of a tile cost more than they save."""

_PRODUCT = 200_000
"""Multiplications of a product that two threads are worth."""


def one(x: np.ndarray, *rest: Any) -> bool:
    """Tell whether there is something to compute."""
    return x.size > 0


def two(one: np.ndarray, other: np.ndarray, *rest: Any) -> bool:
    """Tell whether two arrays have one shape."""
    return one.shape == other.shape and one.size > 0 and one.ndim > 0


def sum_rows(x: np.ndarray, axis: Any, keepdims: bool) -> bool:
    """Tell whether rows are added up: axes that follow one another, but not the last."""
    return x.size > 0 and axes_together(x.shape, axis) is not None


def matmul(x: np.ndarray, y: np.ndarray) -> bool:
    """Tell whether two matrices are worth it."""
    return x.ndim == y.ndim == 2 and x.shape[1] == y.shape[0] and x.size * y.shape[1] >= _PRODUCT and y.shape[1] > 3


def _alike(like: np.ndarray, arrays: Sequence[np.ndarray]) -> bool:
    return like.size > 0 and like.ndim > 0 and all(each.shape == like.shape for each in arrays)


def weighted_sum(base: np.ndarray | None, weights: Sequence[Any], arrays: Sequence[np.ndarray]) -> bool:
    """Tell whether the weights are numbers, one for each array, all of one shape."""
    if len(weights) != len(arrays) or not arrays or any(type(each) is not float for each in weights):
        return False
    return _alike(arrays[0], arrays) and (base is None or base.shape == arrays[0].shape)


def combined(base: np.ndarray | None, weights: np.ndarray, arrays: Sequence[np.ndarray]) -> bool:
    """Tell whether there is one weight for each sample and array, all of one shape."""
    like = arrays[0] if base is None else base
    return _alike(like, arrays) and weights.shape == (len(like), len(arrays))


def overlaps(arrays: Sequence[np.ndarray], x: np.ndarray) -> bool:
    """Tell whether all arrays have one shape."""
    return len(arrays) > 0 and _alike(x, arrays)


orthogonalized = overlaps


def adam(p: np.ndarray, g: np.ndarray, mean: np.ndarray, square: np.ndarray, *numbers: float) -> bool:
    """Tell whether the gradient and the moments are like the parameters."""
    return _alike(p, (g, mean, square))


def derivative(v: np.ndarray, x: np.ndarray, *rest: Any) -> bool:
    """Tell whether a vector is like the features that were normalized."""
    return v.shape == x.shape and x.size > 0


def max_pool(x: np.ndarray, window: Any, stride: Any) -> bool:
    """Tell whether windows fit into images."""
    return x.ndim == 4 and x.size > 0 and all(0 < window[axis] <= x.shape[1 + axis] for axis in (0, 1))


def _pooled(x: np.ndarray, top: np.ndarray, window: Any, stride: Any) -> bool:
    lengths = ((x.shape[1 + axis] - window[axis]) // stride[axis] + 1 for axis in (0, 1))
    return max_pool(x, window, stride) and top.shape == (len(x), *lengths, x.shape[3])


def max_pool_push(v: np.ndarray, x: np.ndarray, top: np.ndarray, window: Any, stride: Any) -> bool:
    """Tell whether a tangent is like the images, and the largest values are theirs."""
    return v.shape == x.shape and _pooled(x, top, window, stride)


def max_pool_pull(g: np.ndarray, x: np.ndarray, top: np.ndarray, window: Any, stride: Any) -> bool:
    """Tell whether a cotangent is like the largest values of the images."""
    return g.shape == top.shape and _pooled(x, top, window, stride)


def _suits(winograd: bool, kernel: Sequence[int], stride: Any, channels: int, outputs: int, *arrays: Any) -> bool:
    """Tell whether a method suits a convolution of some arrays, all of which contain something."""
    if not (channels and outputs and all(each.size for each in arrays)):
        return False
    return not winograd or (
        kernel[0] == kernel[1] == 3 and stride[0] == stride[1] == 1 and channels >= _FEW and outputs >= _FEW
    )


def _conv2d(winograd: bool, x: np.ndarray, weight: np.ndarray, stride: Any, padding: Any) -> bool:
    return _suits(winograd, weight.shape[:2], stride, *weight.shape[2:], x)


def _block(
    winograd: bool, x: np.ndarray, weight: np.ndarray, before: Any, after: Any, activation: str, stride: Any,
    padding: Any,
) -> bool:  # fmt: skip
    outputs = weight.shape[3]
    for each in (before, after):
        if each is not None and each.shape != (outputs,) and each.shape != _result(x, weight, stride, padding):
            return False
    return _suits(winograd, weight.shape[:2], stride, *weight.shape[2:], x)


def _result(x: np.ndarray, weight: np.ndarray, stride: Any, padding: Any) -> tuple[int, ...]:
    lengths = ((x.shape[1 + axis] + sum(padding[axis]) - weight.shape[axis]) // stride[axis] + 1 for axis in (0, 1))
    return (len(x), *lengths, weight.shape[3])


def _push(
    winograd: bool, v: np.ndarray, weight: np.ndarray, y: np.ndarray, activation: str, stride: Any, padding: Any
) -> bool:
    return y.shape == _result(v, weight, stride, padding) and _conv2d(winograd, v, weight, stride, padding)


def _input_transpose(winograd: bool, g: np.ndarray, weight: np.ndarray, shape: Any, stride: Any, padding: Any) -> bool:
    return _suits(winograd, weight.shape[:2], stride, *weight.shape[2:], g)


def _pull(
    winograd: bool, g: np.ndarray, weight: np.ndarray, y: np.ndarray, activation: str, shape: Any, stride: Any,
    padding: Any,
) -> bool:  # fmt: skip
    return g.shape == y.shape and _input_transpose(winograd, g, weight, shape, stride, padding)


def _weight_transpose(winograd: bool, x: np.ndarray, g: np.ndarray, kernel: Any, stride: Any, padding: Any) -> bool:
    return _suits(winograd, kernel, stride, x.shape[3], g.shape[3], x, g)


def _weight(
    winograd: bool, x: np.ndarray, g: np.ndarray, y: np.ndarray, activation: str, kernel: Any, stride: Any,
    padding: Any,
) -> bool:  # fmt: skip
    return g.shape == y.shape and _weight_transpose(winograd, x, g, kernel, stride, padding)


CONVOLUTIONS = {
    "conv2d": _conv2d,
    "conv2d_block": _block,
    "conv2d_block_push": _push,
    "conv2d_input_transpose": _input_transpose,
    "conv2d_block_pull": _pull,
    "conv2d_weight_transpose": _weight_transpose,
    "conv2d_block_weight": _weight,
}
"""Tests of the operations on images: of whether it is by Winograd's method, and of the arguments."""
