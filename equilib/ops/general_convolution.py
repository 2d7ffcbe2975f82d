"""Convolutions with holes and with groups, along one axis, and transposed: made of those in two dimensions."""

from __future__ import annotations

from math import prod
from numbers import Integral
from typing import cast

from equilib.arrays import Array
from equilib.arrays.namespaces import refuse_others
from equilib.ops.convolution import conv2d, conv2d_input_transpose, kernel_size
from equilib.ops.products import dense, matmul
from equilib.ops.shapes import expand_dims, pad, permute_dims, reshape, shape_of
from equilib.ops.windows import NO_PADDING, UNIT, Padding, Pair, check_images, check_windows, patches
from equilib.options.kinds import is_number


def conv2d_general(
    x: Array,
    weight: Array,
    stride: Pair = UNIT,
    padding: Padding = NO_PADDING,
    dilation: Pair = UNIT,
    groups: int = 1,
) -> Array:
    """Correlate images with kernels whose pixels lie `dilation` apart, within `groups` of channels.

    y[i, j] = Σ_{a, b} x[i·s + a·d, j·s + b·d] w[a, b], where output group g sees input group g alone: as many groups as
    channels make a depthwise convolution. Plain ones are `conv2d`; others lay out all windows at once.

    Raises ValueError if the channels do not fit, the kernel is larger than the padded image, a stride or dilation is
    not positive, or a padding negative.

    Parameters
    ----------
    x : array, shape (batch, H, W, inputs)
    weight : array, shape (kernel height, kernel width, inputs // groups, outputs)
    stride, padding, dilation : pairs
        Along height and width.

    Returns
    -------
    array, shape (batch, H', W', outputs)
    """
    inputs, (*_, taken, outputs) = shape_of(x)[-1], shape_of(weight)
    if groups < 1 or inputs != taken * groups or outputs % groups:
        raise ValueError(
            f"{groups} groups do not fit: the images have {inputs} channels, and the kernel, of shape "
            f"{shape_of(weight)}, takes those of one group and makes those of all"
        )
    if groups == 1 and dilation == UNIT:
        return conv2d(x, weight, stride, padding)
    check_images(x)
    check_windows(kernel_size(weight), stride, padding, dilation)
    windows = patches(pad(x, ((0, 0), *padding, (0, 0))), kernel_size(weight), stride, dilation)
    *images, places, _ = shape_of(windows)
    if groups == 1:
        return dense(reshape(windows, (*images, places * inputs)), reshape(weight, (-1, outputs)))
    # (group, image, place · channel) times (group, place · channel, output).
    apart = permute_dims(reshape(windows, (prod(images), places, groups, taken)), (2, 0, 1, 3))
    kernels = permute_dims(reshape(weight, (places, taken, groups, outputs // groups)), (2, 0, 1, 3))
    rows = (groups, prod(images), places * taken)
    product = matmul(reshape(apart, rows), reshape(kernels, (groups, places * taken, outputs // groups)))
    return reshape(permute_dims(product, (1, 0, 2)), (*images, outputs))


def conv1d(
    x: Array, weight: Array, stride: int = 1, padding: Pair = (0, 0), dilation: int = 1, groups: int = 1
) -> Array:
    """Correlate sequences with kernels: `conv2d_general` along one axis.

    Shapes (batch, length, inputs) and (kernel, inputs // groups, outputs) to (batch, length', outputs); `padding` is
    numbers of zeros before and after.

    Raises ValueError if the shapes or the channels do not fit, the kernel is longer than the padded sequence, a stride
    or dilation is not positive, or a padding negative.
    """
    _check_sequences(x, weight, stride, padding, dilation, groups)
    lines = conv2d_general(
        expand_dims(x, 1), expand_dims(weight, 0), (1, stride), ((0, 0), padding), (1, dilation), groups
    )
    batch, _, length, outputs = shape_of(lines)
    return reshape(lines, (batch, length, outputs))


def _check_sequences(x: Array, weight: Array, stride: int, padding: Pair, dilation: int, groups: int) -> None:
    refuse_others(x, weight)
    if x.ndim != 3:
        raise ValueError(f"sequences have the shape (batch, length, channels), not {shape_of(x)}")
    if weight.ndim != 3:
        raise ValueError(f"kernels have the shape (length, inputs // groups, outputs), not {shape_of(weight)}")
    for name, value in (("stride", stride), ("dilation", dilation), ("number of groups", groups)):
        if not is_number(value, Integral) or value < 1:
            raise ValueError(f"the {name} is a whole number of at least 1, not {value!r}")
    if not (type(padding) in (tuple, list) and len(padding) == 2 and all(_is_padding(each) for each in padding)):
        raise ValueError(f"a padding is (before, after), whole numbers of zeros of at least 0, not {padding!r}")
    (*_, inputs), (_, taken, outputs) = shape_of(x), shape_of(weight)
    if inputs != taken * groups or outputs % groups:
        raise ValueError(
            f"the sequences have {inputs} channels, and the kernel, of shape {shape_of(weight)}, takes "
            f"{taken * groups} in {groups} groups and makes {outputs}"
        )


def _is_padding(value: object) -> bool:
    return is_number(value, Integral) and cast(int, value) >= 0


def conv2d_transpose(
    x: Array, weight: Array, stride: Pair = UNIT, padding: Padding = NO_PADDING, output_padding: Pair = (0, 0)
) -> Array:
    """Apply the transpose of the convolution with a kernel, which enlarges images: "deconvolution".

    Shapes (batch, H, W, inputs) and (kernel height, kernel width, outputs, inputs) to (batch, H', W', outputs) with
    H' = (H − 1) · stride − top − bottom + kernel height + output padding.

    Raises ValueError if the channels do not fit, nothing is left, or a stride does not exceed its output padding.
    """
    check_images(x)
    check_windows(kernel_size(weight), stride, padding)
    if any(not 0 <= more < step for more, step in zip(output_padding, stride, strict=True)):
        raise ValueError(f"the output padding must be in [0, stride), got {output_padding} for the stride {stride}")
    if shape_of(x)[-1] != shape_of(weight)[-1]:
        raise ValueError(
            f"the images have {shape_of(x)[-1]} channels, the kernel of shape {shape_of(weight)} takes "
            f"{shape_of(weight)[-1]}"
        )
    batch, *sides, _ = shape_of(x)
    axes = zip(sides, stride, padding, kernel_size(weight), output_padding, strict=True)
    height, width = ((n - 1) * step - sum(pads) + kernel + more for n, step, pads, kernel, more in axes)
    if min(height, width) < 1:
        raise ValueError(f"images of {height}×{width} pixels would be left; take less padding")
    return conv2d_input_transpose(x, weight, (batch, height, width, shape_of(weight)[2]), stride, padding)
