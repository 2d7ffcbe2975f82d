"""Convolution of wide images on the host, a line of the kernel at a time, a few images at a time.

Laying out whole windows writes kernel height · kernel width times the image to memory. Laying out the windows of
single lines writes kernel width times the image; with the lines of the images of a block stored next to each other, the
lines that meet line a of the kernel are one contiguous piece, whatever a is, so that

    y = Σ_a piece_a · w[a]   and   ∂w[a] = piece_aᵀ · ∂y

take one matrix product for each line of the kernel and no further copy. The blocks are so small that their lines stay
in a core's cache until they are multiplied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from equilib.ops.windows import Pair, window_count

Index = tuple[Any, ...]

# Below this many numbers in a line of a window, a few thin products are slower than one wide one.
WIDE = 64

# Bytes of the lines of a block, to stay in a cache of 2 MB together with the product.
_BLOCK = 700_000

# Up to this many multiplications OpenBLAS's kernels for AVX-512 leave the factors where they are instead of copying
# them first (kernel/x86_64/sgemm_small_kernel_permit_skylakex.c): 1.25 times as fast, with 52 × 192 by 192 × 64.
_SMALL = 1_000_000
# ... but not with fewer rows than that.
_ROWS = 24

_CACHE_LINE = 64


@dataclass(frozen=True)
class _Geometry:
    """Where the lines of a convolution come from and go to."""

    kernel: Pair
    stride: Pair
    padding: tuple[Pair, Pair]
    height: int
    width: int
    channels: int

    @property
    def rows(self) -> int:
        return window_count(self.height + sum(self.padding[0]), self.kernel[0], self.stride[0])

    @property
    def cols(self) -> int:
        return window_count(self.width + sum(self.padding[1]), self.kernel[1], self.stride[1])

    @property
    def line(self) -> int:
        """Numbers in a line of a window."""
        return self.kernel[1] * self.channels

    def blocks(self, x: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield blocks of the images: where each starts and ends, and its lines.

        They have the shape (stride, H / stride, images, W', kernel width, channels): line t of the padded images is
        line t // stride of part t % stride, so that the lines which meet one line of the kernel are neighbours whatever
        the stride. An array is valid until the next one is asked for.
        """
        stride, (top, bottom) = self.stride[0], self.padding[0]
        stored = -(-(self.height + top + bottom) // stride)
        size = stride * stored * self.cols * self.line * x.itemsize
        blocks = -(-len(x) // max(1, _BLOCK // size))
        images, larger = divmod(len(x), blocks)
        pixels = self._pixels()
        lines, first = None, 0
        for block in range(blocks):
            count = images + (block < larger)
            if lines is None or lines.shape[2] != count:
                shape = (stride, stored, count, self.cols, self.kernel[1], self.channels)
                lines = np.zeros(shape, dtype=x.dtype)  # the padding stays zero
                places = [(lines[into], source) for into, source in pixels]
            by_line = np.swapaxes(x[first : first + count], 0, 1)
            for place, source in places:
                place[...] = by_line[source]
            yield first, first + count, lines
            first += count

    def _pixels(self) -> list[tuple[Index, Index]]:
        """Return what is copied for each place in a line of the kernel: to where in the lines, from where in images.

        The images' first axis is their lines, as in the lines of a block.
        """
        (down, across), ((top, _), (left, _)) = self.stride, self.padding
        found: list[tuple[Index, Index]] = []
        for part in range(down):
            y = (part - top) % down  # the first line of an image that belongs to this part
            at, count = (top + y) // down, len(range(y, self.height, down))
            for b in range(self.kernel[1]):
                # Column j of the result meets column j · stride + b − left of the image.
                j = max(0, -(-(left - b) // across))
                end = min(self.cols, (self.width - 1 + left - b) // across + 1)
                if j < end and count:
                    columns = slice(j * across + b - left, end * across + b - left, across)
                    into = (part, slice(at, at + count), slice(None), slice(j, end), b)
                    found.append((into, (slice(y, None, down), slice(None), columns)))
        return found

    def piece(self, lines: np.ndarray, a: int) -> np.ndarray:
        """Return the lines that meet line a of the kernel, shape (H' · images · W', numbers in a line)."""
        at = a // self.stride[0]
        return lines[a % self.stride[0], at : at + self.rows].reshape(-1, self.line)


def conv2d_by_lines(
    x: np.ndarray, weight: np.ndarray, stride: Pair, padding: tuple[Pair, Pair], out: np.ndarray
) -> None:
    """Write conv2d(x, weight) to `out`; shapes as there."""
    geometry = _Geometry(weight.shape[:2], stride, padding, *x.shape[1:])
    outputs, total, term = weight.shape[3], None, None
    kernel = _aligned(weight).reshape(len(weight), geometry.line, outputs)
    for first, last, lines in geometry.blocks(x):
        size = geometry.rows * (last - first) * geometry.cols
        rows = _rows_at_a_time(size, kernel[0].size)
        if total is None or total.shape[:2] != (size // rows, rows):
            total, term = np.empty((2, size // rows, rows, outputs), dtype=out.dtype)
        for a in range(len(kernel)):
            piece = geometry.piece(lines, a).reshape(size // rows, rows, geometry.line)
            if a == 0:
                np.matmul(piece, kernel[a], out=total)
            else:
                total += np.matmul(piece, kernel[a], out=term)
        own = np.swapaxes(out[first:last], 0, 1)
        own[...] = total.reshape(own.shape)


def _aligned(x: np.ndarray) -> np.ndarray:
    """Return a copy of x that begins where a line of the cache does.

    Kernels that do not copy the second factor read it in vectors of that size, 1.25 times as fast where none of them
    lies across two lines. NumPy aligns to 16 bytes.
    """
    buffer = np.empty(x.nbytes + _CACHE_LINE, dtype=np.uint8)
    start = -buffer.ctypes.data % _CACHE_LINE
    copy = buffer[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


@cache
def _rows_at_a_time(rows: int, factor: int) -> int:
    """Return how many of `rows` to multiply at once with a matrix of `factor` elements: a divisor, or all."""
    fitting = (each for each in range(min(rows, _SMALL // factor), _ROWS - 1, -1) if rows % each == 0)
    return next(fitting, rows)


def weight_transpose_by_lines(
    x: np.ndarray, g: np.ndarray, kernel: Pair, stride: Pair, padding: tuple[Pair, Pair]
) -> np.ndarray:
    """Return conv2d_weight_transpose(x, g, kernel); shapes as there."""
    geometry = _Geometry(kernel, stride, padding, *x.shape[1:])
    total = np.zeros((kernel[0], geometry.line, g.shape[3]), dtype=np.result_type(x, g))
    for first, last, lines in geometry.blocks(x):
        cotangent = np.ascontiguousarray(np.swapaxes(g[first:last], 0, 1)).reshape(-1, g.shape[3])
        for a in range(kernel[0]):
            total[a] += geometry.piece(lines, a).T @ cotangent
    return total.reshape(*kernel, x.shape[3], g.shape[3])
