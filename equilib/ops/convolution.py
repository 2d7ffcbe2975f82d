"""Two-dimensional convolution and its two transposes.

Images are channels last: (batch, height, width, channels). conv2d(x, w) is bilinear, so its derivatives are
conv2d itself and the transposes of v ↦ conv2d(v, w) and v ↦ conv2d(x, v); the three operations are closed under
differentiation. Each is one copy and one matrix product, save where `lines` is faster.
"""

from __future__ import annotations

import numpy as np

from equilib.arrays import Array, Namespace, array_namespace
from equilib.autodiff.rules import LinearMap, linear_rule, primitive
from equilib.ops.lines import WIDE, conv2d_by_lines
from equilib.ops.shapes import pad, shape_of
from equilib.ops.windows import Pair, fold, patches, window_count

Padding = tuple[Pair, Pair]
"""((top, bottom), (left, right)) rows and columns of zeros."""

UNIT: Pair = (1, 1)
NO_PADDING: Padding = ((0, 0), (0, 0))


@primitive
def conv2d(x: Array, weight: Array, stride: Pair = UNIT, padding: Padding = NO_PADDING) -> Array:
    """Correlate images with kernels, as deep learning does: y[i, j] = Σ_{a, b} x[i·s + a, j·s + b] w[a, b].

    Parameters
    ----------
    x : array, shape (batch, H, W, inputs)
    weight : array, shape (kernel height, kernel width, inputs, outputs)
    stride, padding : pairs
        Along height and width.

    Returns
    -------
    array, shape (batch, H', W', outputs)
        With H' = (H + top + bottom − kernel height) // stride + 1.

    Raises
    ------
    ValueError
        If the channels of `x` and `weight` differ, or the kernel is larger than the padded image.
    """
    if x.shape[-1] != weight.shape[2]:
        raise ValueError(
            f"the images have {x.shape[-1]} channels (last axis of {x.shape}), "
            f"the kernel takes {weight.shape[2]} (third axis of {weight.shape})"
        )
    if isinstance(x, np.ndarray) and stride == UNIT and weight.shape[0] > 1 and weight.shape[1] * x.shape[3] >= WIDE:
        return conv2d_by_lines(x, weight, padding)
    columns, (n, height, width) = _columns(x, _kernel(weight), stride, padding)
    xp = array_namespace(x, weight)
    outputs = weight.shape[3]
    return xp.reshape(columns @ xp.reshape(weight, (-1, outputs)), (n, height, width, outputs))


@primitive
def conv2d_input_transpose(
    g: Array, weight: Array, shape: tuple[int, ...], stride: Pair = UNIT, padding: Padding = NO_PADDING
) -> Array:
    """Apply the transpose of x ↦ conv2d(x, weight), for x of `shape`, to g of the shape of the result."""
    xp = array_namespace(g, weight)
    kernel = _kernel(weight)
    (top, bottom), (left, right) = padding
    rows, cols = kernel[0] - 1, kernel[1] - 1
    if stride == UNIT and max(top, bottom) <= rows and max(left, right) <= cols:
        # A convolution again, the kernel turned round and its channels exchanged: no scattered additions.
        turned = xp.permute_dims(xp.flip(weight, axis=(0, 1)), (0, 1, 3, 2))
        return conv2d(g, turned, UNIT, ((rows - top, rows - bottom), (cols - left, cols - right)))
    outputs = weight.shape[3]
    columns = xp.reshape(g, (-1, outputs)) @ xp.permute_dims(xp.reshape(weight, (-1, outputs)), (1, 0))
    windows = xp.reshape(columns, (*g.shape[:3], kernel[0] * kernel[1], weight.shape[2]))
    padded = (shape[0], shape[1] + top + bottom, shape[2] + left + right, shape[3])
    whole = fold(windows, padded, kernel, stride)
    return whole[:, top : top + shape[1], left : left + shape[2], :]


@primitive
def conv2d_weight_transpose(
    x: Array, g: Array, kernel: Pair, stride: Pair = UNIT, padding: Padding = NO_PADDING
) -> Array:
    """Apply the transpose of w ↦ conv2d(x, w), for kernels of one size, to g of the shape of the result."""
    xp = array_namespace(x, g)
    columns, _ = _columns(x, kernel, stride, padding)
    outputs = g.shape[-1]
    product = xp.permute_dims(columns, (1, 0)) @ xp.reshape(g, (-1, outputs))
    return xp.reshape(product, (*kernel, x.shape[-1], outputs))


def _kernel(weight: Array) -> Pair:
    height, width = shape_of(weight)[:2]
    return height, width


def _columns(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> tuple[Array, tuple[int, int, int]]:
    """Return the windows as rows of a matrix, and (batch, H', W')."""
    xp: Namespace = array_namespace(x)
    padded = pad(x, ((0, 0), *padding, (0, 0)))
    n, height, width, channels = padded.shape
    rows, cols = (window_count(*each) for each in zip((height, width), kernel, stride, strict=True))
    windows = padded if kernel == UNIT and stride == UNIT else patches(padded, kernel, stride)
    return xp.reshape(windows, (n * rows * cols, kernel[0] * kernel[1] * channels)), (n, rows, cols)


@linear_rule(conv2d, 0)
def _(ans: Array, x: Array, weight: Array, stride: Pair = UNIT, padding: Padding = NO_PADDING) -> LinearMap:
    shape = shape_of(x)
    return LinearMap(
        lambda v: conv2d(v, weight, stride, padding),
        lambda g: conv2d_input_transpose(g, weight, shape, stride, padding),
    )


@linear_rule(conv2d, 1)
def _(ans: Array, x: Array, weight: Array, stride: Pair = UNIT, padding: Padding = NO_PADDING) -> LinearMap:
    kernel = _kernel(weight)
    return LinearMap(
        lambda v: conv2d(x, v, stride, padding),
        lambda g: conv2d_weight_transpose(x, g, kernel, stride, padding),
    )


@linear_rule(conv2d_input_transpose, 0)
def _(
    ans: Array,
    g: Array,
    weight: Array,
    shape: tuple[int, ...],
    stride: Pair = UNIT,
    padding: Padding = NO_PADDING,
) -> LinearMap:
    return LinearMap(
        lambda v: conv2d_input_transpose(v, weight, shape, stride, padding),
        lambda x: conv2d(x, weight, stride, padding),
    )


@linear_rule(conv2d_input_transpose, 1)
def _(
    ans: Array,
    g: Array,
    weight: Array,
    shape: tuple[int, ...],
    stride: Pair = UNIT,
    padding: Padding = NO_PADDING,
) -> LinearMap:
    kernel = _kernel(weight)
    return LinearMap(
        lambda v: conv2d_input_transpose(g, v, shape, stride, padding),
        lambda x: conv2d_weight_transpose(x, g, kernel, stride, padding),
    )


@linear_rule(conv2d_weight_transpose, 0)
def _(ans: Array, x: Array, g: Array, kernel: Pair, stride: Pair = UNIT, padding: Padding = NO_PADDING) -> LinearMap:
    shape = shape_of(x)
    return LinearMap(
        lambda v: conv2d_weight_transpose(v, g, kernel, stride, padding),
        lambda weight: conv2d_input_transpose(g, weight, shape, stride, padding),
    )


@linear_rule(conv2d_weight_transpose, 1)
def _(ans: Array, x: Array, g: Array, kernel: Pair, stride: Pair = UNIT, padding: Padding = NO_PADDING) -> LinearMap:
    return LinearMap(
        lambda v: conv2d_weight_transpose(x, v, kernel, stride, padding),
        lambda weight: conv2d(x, weight, stride, padding),
    )
