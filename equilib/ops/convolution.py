"""Two-dimensional convolution and its two transposes.

Images are channels last: (batch, height, width, channels). conv2d(x, w) is bilinear, so its derivatives are
conv2d itself and the transposes of v ↦ conv2d(v, w) and v ↦ conv2d(x, v); the three operations are closed under
differentiation. Each is one copy and one matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np

from equilib.arrays import Array, array_namespace, set_at
from equilib.arrays.namespaces import refuse_others
from equilib.autodiff.rules import with_transposes
from equilib.kernels import operation
from equilib.ops.shapes import pad, shape_of
from equilib.ops.windows import (
    NO_PADDING,
    UNIT,
    Padding,
    Pair,
    check_images,
    check_windows,
    patches,
    window_count,
)

_LAID_OUT = 1 << 22
"""Numbers of windows at a time on the host: they are as many times the image as the kernel has places. Of fewer the
threads of BLAS would wait for each other longer than they multiply, where they must share their cores."""


@with_transposes(
    lambda x, weight, stride=UNIT, padding=NO_PADDING: (
        lambda w: conv2d_input_transpose(w, weight, shape_of(x), stride, padding)
    ),
    lambda x, weight, stride=UNIT, padding=NO_PADDING: (
        lambda w: conv2d_weight_transpose(x, w, kernel_size(weight), stride, padding)
    ),
)
def conv2d(x: Array, weight: Array, stride: Pair = UNIT, padding: Padding = NO_PADDING) -> Array:
    """Correlate images with kernels, as deep learning does: y[i, j] = Σ_{a, b} x[i·s + a, j·s + b] w[a, b].

    Raises ValueError if the channels of `x` and `weight` differ, the kernel is larger than the padded image, a stride
    is not positive or a padding negative.

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
    """
    check_channels(x, weight)
    images_of(x.shape, kernel_size(weight), stride, padding)
    return _convolve(x, weight, stride, padding)


def check_channels(x: Array, weight: Array) -> None:
    """Raise ValueError if x is no batch of images, or has other channels than a kernel."""
    refuse_others(x, weight)
    check_images(x)
    if weight.ndim != 4:
        raise ValueError(f"kernels have the shape (height, width, inputs, outputs), not {tuple(weight.shape)}")
    if x.shape[-1] != weight.shape[2]:
        raise ValueError(
            f"the images have {x.shape[-1]} channels (last axis of {x.shape}), "
            f"the kernel takes {weight.shape[2]} (third axis of {weight.shape})"
        )


def images_of(shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Padding) -> tuple[int, int, int]:
    """Return (batch, H', W') of a convolution of images of `shape`; raises ValueError if the geometry makes none."""
    check_windows(kernel, stride, padding)
    axes = zip(shape[1:3], padding, kernel, stride, strict=True)
    rows, cols = (window_count(length + sum(pads), window, step) for length, pads, window, step in axes)
    return shape[0], rows, cols


@operation("conv2d")
def _convolve(x: Array, weight: Array, stride: Pair, padding: Padding) -> Array:
    xp, parts = array_namespace(x, weight), _parts(x, kernel_size(weight), stride, padding)
    if len(parts) > 1:
        return xp.concat([_convolve(x[part, ...], weight, stride, padding) for part in parts])
    columns, images = _columns(x, kernel_size(weight), stride, padding)
    return xp.reshape(columns @ xp.reshape(weight, (-1, weight.shape[3])), (*images, weight.shape[3]))


@with_transposes(
    lambda g, weight, shape, stride=UNIT, padding=NO_PADDING: lambda w: conv2d(w, weight, stride, padding),
    lambda g, weight, shape, stride=UNIT, padding=NO_PADDING: (
        lambda w: conv2d_weight_transpose(w, g, kernel_size(weight), stride, padding)
    ),
)
def conv2d_input_transpose(
    g: Array, weight: Array, shape: tuple[int, ...], stride: Pair = UNIT, padding: Padding = NO_PADDING
) -> Array:
    """Apply the transpose of x ↦ conv2d(x, weight), for x of `shape`, to g of the shape of the result.

    Raises ValueError if g has another shape.
    """
    _require(g.shape, (*images_of(shape, kernel_size(weight), stride, padding), weight.shape[3]))
    return _input_transpose(g, weight, shape, stride, padding)


@operation("conv2d_input_transpose")
def _input_transpose(g: Array, weight: Array, shape: tuple[int, ...], stride: Pair, padding: Padding) -> Array:
    xp = array_namespace(g, weight)
    axes = [
        list(_remainders(shape[axis], g.shape[axis], weight.shape[axis - 1], stride[axis - 1], padding[axis - 1]))
        for axis in (1, 2)
    ]

    def pixels(down: _Remainder, across: _Remainder) -> Array:
        # A convolution again, the kernel turned round and its channels exchanged: no scattered additions.
        turned = xp.permute_dims(xp.flip(weight[down.kernel, across.kernel, ...], axis=(0, 1)), (0, 1, 3, 2))
        return conv2d(g[:, down.results, across.results, :], turned, UNIT, (down.padding, across.padding))

    if stride == UNIT:
        return pixels(axes[0][0], axes[1][0])
    out = xp.zeros(shape, dtype=xp.result_type(g, weight), device=getattr(g, "device", None))
    for down, across in product(*axes):
        out = set_at(out, (slice(None), down.pixels, across.pixels, slice(None)), pixels(down, across))
    return out


@with_transposes(
    lambda x, g, kernel, stride=UNIT, padding=NO_PADDING: (
        lambda w: conv2d_input_transpose(g, w, shape_of(x), stride, padding)
    ),
    lambda x, g, kernel, stride=UNIT, padding=NO_PADDING: lambda w: conv2d(x, w, stride, padding),
)
def conv2d_weight_transpose(
    x: Array, g: Array, kernel: Pair, stride: Pair = UNIT, padding: Padding = NO_PADDING
) -> Array:
    """Apply the transpose of w ↦ conv2d(x, w), for kernels of one size, to g of the shape of the result.

    Raises ValueError if g has another shape.
    """
    check_images(x)
    _require(g.shape, (*images_of(x.shape, kernel, stride, padding), g.shape[-1]))
    return _weight_transpose(x, g, kernel, stride, padding)


@operation("conv2d_weight_transpose")
def _weight_transpose(x: Array, g: Array, kernel: Pair, stride: Pair, padding: Padding) -> Array:
    xp, outputs, parts = array_namespace(x, g), g.shape[-1], _parts(x, kernel, stride, padding)
    if len(parts) > 1:
        return sum(_weight_transpose(x[part, ...], g[part, ...], kernel, stride, padding) for part in parts)
    columns, images = _columns(x, kernel, stride, padding)
    transposed = xp.permute_dims(columns, (1, 0)) @ xp.reshape(g, (prod(images), outputs))
    return xp.reshape(transposed, (*kernel, x.shape[-1], outputs))


def _require(shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if tuple(shape) != wanted:
        raise ValueError(f"a cotangent of the convolution must have the shape {wanted}, it has {tuple(shape)}")


class _Remainder(NamedTuple):
    """The pixels of one remainder modulo the stride, along one axis: they meet every stride-th line of the kernel."""

    pixels: slice
    results: slice
    kernel: slice
    padding: Pair


def _remainders(length: int, results: int, kernel: int, stride: int, padding: Pair) -> Iterator[_Remainder]:
    for start in range(min(stride, kernel)):
        pixel = (start - padding[0]) % stride
        first, count = (pixel + padding[0]) // stride, len(range(pixel, length, stride))
        # Padded pixel stride · i + start is the sum over a of result i − a times line stride · a + start of the kernel.
        before = len(range(start, kernel, stride)) - 1 - first
        after = first + count - results
        if count:
            yield _Remainder(
                pixels=slice(pixel, None, stride),
                results=slice(max(0, -before), results - max(0, -after)),
                kernel=slice(start, None, stride),
                padding=(max(0, before), max(0, after)),
            )


def kernel_size(weight: Array) -> Pair:
    """Return height and width of the kernels in a weight."""
    height, width = shape_of(weight)[:2]
    return height, width


def _parts(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> list[slice]:
    """Return the samples in as many parts as the windows are laid out in."""
    samples, *places = images_of(x.shape, kernel, stride, padding)
    count = samples
    if isinstance(x, np.ndarray):
        count = max(1, _LAID_OUT // max(1, prod(places) * prod(kernel) * x.shape[3]))
    return [slice(first, first + count) for first in range(0, samples, max(1, count))]


def _columns(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> tuple[Array, tuple[int, int, int]]:
    """Return the windows as rows of a matrix, and (batch, H', W')."""
    padded = pad(x, ((0, 0), *padding, (0, 0)))
    windows = padded if kernel == UNIT and stride == UNIT else patches(padded, kernel, stride)
    images = images_of(x.shape, kernel, stride, padding)
    return array_namespace(x).reshape(windows, (prod(images), kernel[0] * kernel[1] * x.shape[3])), images
