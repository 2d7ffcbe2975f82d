"""Windows of images. Images are channels last: (batch, height, width, channels)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from equilib.arrays import Array, add_at, array_namespace
from equilib.autodiff.rules import with_transposes
from equilib.ops.shapes import shape_of

Pair = tuple[int, int]

Padding = tuple[Pair, Pair]
"""((top, bottom), (left, right)) rows and columns of zeros."""

UNIT: Pair = (1, 1)
NO_PADDING: Padding = ((0, 0), (0, 0))


def check_images(x: Array) -> None:
    """Raise ValueError if x is no batch of images."""
    if x.ndim != 4:
        raise ValueError(f"images have the shape (batch, height, width, channels), not {tuple(x.shape)}")


def check_windows(window: Pair, stride: Pair, padding: Padding = NO_PADDING, dilation: Pair = UNIT) -> None:
    """Raise ValueError unless all are pairs, along height and width, of whole numbers in bounds."""
    for what, pair in (("a window or kernel", window), ("a stride", stride), ("a dilation", dilation)):
        if not _is_pair(pair, 1):
            raise ValueError(f"{what} is two whole numbers of at least 1, along height and width, not {pair!r}")
    if not (type(padding) in (tuple, list) and len(padding) == 2 and all(_is_pair(each, 0) for each in padding)):
        raise ValueError(
            "a padding is ((top, bottom), (left, right)), whole numbers of rows and columns of at least 0, not "
            f"{padding!r}"
        )


def _is_pair(value: object, least: int) -> bool:
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(isinstance(each, int | np.integer) and each >= least for each in value)
    )


def window_count(length: int, window: int, stride: int) -> int:
    """Return how many windows fit into `length`; raises ValueError if not a single one does."""
    if window > length:
        raise ValueError(f"a window of {window} does not fit into a length of {length}")
    return (length - window) // stride + 1


def spread(window: int, dilation: int) -> int:
    """Return the length over which the places of a window lie, `dilation` from one to the next."""
    return (window - 1) * dilation + 1


@with_transposes(lambda x, window, stride, dilation=UNIT: lambda w: fold(w, shape_of(x), window, stride, dilation))
def patches(x: Array, window: Pair, stride: Pair, dilation: Pair = UNIT) -> Array:
    """Return the windows of each image, whose pixels lie `dilation` apart.

    (batch, H, W, C) becomes (batch, H', W', window height · width, C) with H' = (H − window) // stride + 1.

    Raises ValueError if x is no batch of images, a size is not positive, or no window fits.
    """
    check_images(x)
    check_windows(window, stride, dilation=dilation)
    n, height, width, channels = x.shape
    reach = map(spread, window, dilation)
    rows, cols = (window_count(*each) for each in zip((height, width), reach, stride, strict=True))
    xp = array_namespace(x)
    tricks = getattr(getattr(xp, "lib", None), "stride_tricks", None)
    if tricks is not None and dilation == UNIT:  # NumPy and CuPy: a view, then one copy
        x = xp.ascontiguousarray(x)
        image, line, pixel, _ = x.strides
        # The pixels of a window's row lie side by side, so the copy moves width · channels numbers at a time; assigning
        # keeps to that, while reshaping the view copies in an order that takes half as long again.
        view = tricks.as_strided(
            x,
            (n, rows, cols, window[0], window[1] * channels),
            (image, line * stride[0], pixel * stride[1], line, x.itemsize),
        )
        out = xp.empty(view.shape, dtype=x.dtype)
        out[...] = view
        return xp.reshape(out, (n, rows, cols, window[0] * window[1], channels))
    return xp.stack([x[index] for index in _offsets(window, stride, dilation, (rows, cols))], axis=3)


@with_transposes(lambda x, shape, window, stride, dilation=UNIT: lambda w: patches(w, window, stride, dilation))
def fold(x: Array, shape: tuple[int, ...], window: Pair, stride: Pair, dilation: Pair = UNIT) -> Array:
    """Add windows into zeros of `shape` at the places they come from: the transpose of `patches`."""
    out = array_namespace(x).zeros(shape, dtype=x.dtype, device=getattr(x, "device", None))
    for k, index in enumerate(_offsets(window, stride, dilation, (x.shape[1], x.shape[2]))):
        out = add_at(out, index, x[:, :, :, k, :])
    return out


def _offsets(window: Pair, stride: Pair, dilation: Pair, count: Pair) -> Iterator[tuple[slice, ...]]:
    """Yield, for each place in a window, the index of the pixels that stand there."""
    for i in range(0, spread(window[0], dilation[0]), dilation[0]):
        for j in range(0, spread(window[1], dilation[1]), dilation[1]):
            yield (
                slice(None),
                slice(i, i + stride[0] * (count[0] - 1) + 1, stride[0]),
                slice(j, j + stride[1] * (count[1] - 1) + 1, stride[1]),
                slice(None),
            )
