"""Convolutions and their transposes as implicit products of matrices, with what comes before and after them."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib_cuda.launches import KINDS, empty, launch, plain, zeros
from equilib_cuda.sums import sum_middle

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]

_TILE = 64
"""Rows and columns of what a block computes."""

_THREADS = 256
"""Threads of a block: each has 4 x 4 numbers of the tile."""

_BLOCKS = 256
"""Blocks that keep a GPU busy: sums over many results are parted into so many."""

_TERMS = 128
"""Results of a part, at least."""


def _geometry(images: tuple[int, ...], kernel: Pair, results: tuple[int, ...], stride: Pair, padding: Padding) -> Any:
    batch, height, width, channels = images
    (_, rows, columns, outputs), (top, _), (left, _) = results, *padding
    numbers = batch, height, width, channels, rows, columns, outputs, *kernel, *stride, top, left
    return np.array(numbers, np.int32)


def _tiles(length: int) -> int:
    return -(-length // _TILE)


def conv2d(x: Any, weight: Any, stride: Pair, padding: Padding) -> Any:
    """Return conv2d(x, weight)."""
    return _convolved(x, weight, None, None, None, "identity", stride, padding)


def conv2d_block(x: Any, weight: Any, before: Any, after: Any, activation: str, stride: Pair, padding: Padding) -> Any:
    """Return φ(conv2d(x, weight) + before) + after."""
    return _convolved(x, weight, before, after, None, activation, stride, padding)


def conv2d_block_push(v: Any, weight: Any, y: Any, activation: str, stride: Pair, padding: Padding) -> Any:
    """Return φ'(y) conv2d(v, weight)."""
    return _convolved(v, weight, None, None, plain(y), activation, stride, padding)


def _convolved(
    x: Any, weight: Any, before: Any, after: Any, y: Any, activation: str, stride: Pair, padding: Padding
) -> Any:
    kernel, (batch, *lengths, _), outputs = weight.shape[:2], x.shape, weight.shape[3]
    rows, columns = (
        (length + sum(pads) - window) // step + 1
        for length, pads, window, step in zip(lengths, padding, kernel, stride, strict=True)
    )
    out = empty((batch, rows, columns, outputs), x.dtype)
    grid = _tiles(batch * rows * columns), _tiles(outputs)
    terms = *_term(before), *_term(after), y, KINDS[activation]
    geometry = _geometry(x.shape, kernel, out.shape, stride, padding)
    launch("convolution", "convolve", x.dtype, grid, _THREADS, plain(x), plain(weight), *terms, out, geometry)
    return out


def _term(array: Any) -> tuple[Any, int]:
    """Return what is added, and whether it is like the result."""
    return (None, 0) if array is None else (plain(array), int(array.ndim > 1))


def conv2d_input_transpose(g: Any, weight: Any, shape: tuple[int, ...], stride: Pair, padding: Padding) -> Any:
    """Return conv2d_input_transpose(g, weight, shape)."""
    return conv2d_block_pull(g, weight, None, "identity", shape, stride, padding)


def conv2d_block_pull(
    g: Any, weight: Any, y: Any, activation: str, shape: tuple[int, ...], stride: Pair, padding: Padding
) -> Any:
    """Return conv2d_input_transpose(φ'(y) g, weight, shape)."""
    kernel = weight.shape[:2]
    dense = all(window >= step for window, step in zip(kernel, stride, strict=True))
    out = (empty if dense else zeros)(shape, g.dtype)
    pixels = [-(-length // step) for length, step in zip(shape[1:3], stride, strict=True)]
    remainders = min(stride[0], kernel[0]) * min(stride[1], kernel[1])
    grid = _tiles(shape[0] * pixels[0] * pixels[1]), _tiles(shape[3]), remainders
    given = plain(g), plain(weight), None if y is None else plain(y), KINDS[activation], out
    geometry = _geometry(shape, kernel, g.shape, stride, padding)
    launch("convolution", "convolve_back", g.dtype, grid, _THREADS, *given, geometry)
    return out


def conv2d_weight_transpose(x: Any, g: Any, kernel: Pair, stride: Pair, padding: Padding) -> Any:
    """Return conv2d_weight_transpose(x, g, kernel)."""
    return conv2d_block_weight(x, g, None, "identity", kernel, stride, padding)


def conv2d_block_weight(x: Any, g: Any, y: Any, activation: str, kernel: Pair, stride: Pair, padding: Padding) -> Any:
    """Return conv2d_weight_transpose(x, φ'(y) g, kernel): sums over parts of the results, then over the parts."""
    lines, outputs, results = kernel[0] * kernel[1] * x.shape[3], g.shape[3], g.size // g.shape[3]
    tiles = _tiles(lines) * _tiles(outputs)
    terms = -(-results // min(max(1, _BLOCKS // tiles), -(-results // _TERMS)))
    parts = -(-results // terms)
    out = empty((parts, lines, outputs), x.dtype)
    grid = _tiles(lines), _tiles(outputs), parts
    given = plain(x), plain(g), None if y is None else plain(y), KINDS[activation], out, terms
    geometry = _geometry(x.shape, kernel, g.shape, stride, padding)
    launch("convolution", "convolve_weight", x.dtype, grid, _THREADS, *given, geometry)
    total = out if parts == 1 else sum_middle(out.reshape(1, parts, lines * outputs))
    return total.reshape(*kernel, x.shape[3], outputs)
