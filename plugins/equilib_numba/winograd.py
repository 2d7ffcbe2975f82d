"""3×3 convolutions with stride 1 by Winograd's F(2×2, 3×3) (Lavin & Gray 2016, arXiv:1509.09308, §4.1 and algorithm 1).

Threads share the lines of tiles of all images. Some lines at a time are laid out with their padding, transformed,
multiplied channel by channel for each of the 16 places in a tile, and transformed back, all in the cache of a core.
Sums of a tile mix its pixels: one NaN spreads to all four. Where a sum is not finite, the pixel is therefore summed up
as the definition says.
"""

from __future__ import annotations

from typing import Any

from equilib_numba.compiling import compiled, entry
from equilib_numba.lines import give_pixels, lay_lines, share_kernel
from equilib_numba.memory import BYTES, address, call, clear, row, size_of
from equilib_numba.pixels import finite
from equilib_numba.team import share_out, shared
from equilib_numba.transforms import INPUT, KERNEL, RESULT, transform

_transform_input, _transform_kernel, _transform_result = transform(INPUT), transform(KERNEL), transform(RESULT)

TILES = 48
"""Tiles of a block, at least: with 64 channels they take 0.4 MB, and the kernels 0.26."""


@compiled
def _transform_kernels(share: int, place: int, shares: int, laid: Any, kernels: Any) -> None:
    _, _, terms, outputs = laid.shape
    size, step, like = laid.itemsize, kernels.shape[2], laid.dtype.type(0)
    for k in range(terms * share // shares, terms * (share + 1) // shares):
        _transform_kernel(
            like, address(laid, k * outputs), 3 * terms * outputs * size, terms * outputs * size,
            address(kernels, k * step), 4 * terms * step * size, terms * step * size, outputs * size // BYTES,
        )  # fmt: skip


@compiled
def _sum_up(
    like: Any,
    take: int,
    activation: int,
    x: Any,
    value: Any,
    image: int,
    top: int,
    left: int,
    laid: Any,
    pixel: int,
    term: int,
) -> None:
    """Write Σ x[top + a, left + b] w[a, b] to a pixel, `term` being memory for the channels of one of x."""
    _, height, width, channels = x.shape
    outputs = laid.shape[3]
    clear(pixel, outputs, like)
    total, factors = row(pixel, outputs, like), row(term, channels, like)
    for a in range(3):
        for b in range(3):
            y, z = top + a, left + b
            clear(term, channels, like)  # outside, where 0 times an infinite weight is NaN too
            if 0 <= y < height and 0 <= z < width:
                source = ((image * height + y) * width + z) * channels
                call(take, (activation, address(x, source), address(value, source), term, 1, channels, channels))
            for k in range(channels):
                line = row(address(laid, ((a * 3 + b) * channels + k) * outputs), outputs, like)
                for o in range(outputs):
                    total[o] += factors[k] * line[o]


@compiled
def _give_tiles(
    like: Any, take: int, give: int, slope: int, x: Any, value: Any, laid: Any, before: Any, after: Any,
    activation: int, out: Any, image: int, tile: int, top: int, left: int, lines: int, term: int,
) -> None:  # fmt: skip
    """Write a line of tiles, two lines of pixels, to the result."""
    _, height, width, outputs = out.shape
    room, size = laid.shape[3], size_of(like)
    length = (width + 1) // 2 * 2 * room * size
    for a in range(min(2, height - 2 * tile)):
        line, y = lines + a * length, 2 * tile + a
        if not finite(like, line, width * room):
            for j in range(width):
                pixel = line + j * room * size
                if not finite(like, pixel, room):
                    _sum_up(like, take, slope, x, value, image, y - top, j - left, laid, pixel, term)
        start = (image * height + y) * width * outputs
        give_pixels(like, give, activation, line, before, after, out, start, width, room)


@compiled
def _compute(
    share: int, place: int, shares: int, stages: Any, slope: int, x: Any, value: Any, laid: Any, kernels: Any,
    before: Any, after: Any, activation: int, out: Any, top: int, left: int, block: int, scratch: Any,
) -> None:  # fmt: skip
    product, take, give = stages
    like, size = x.dtype.type(0), x.itemsize
    channels, outputs, step = x.shape[3], laid.shape[3] * size, kernels.shape[2] * size
    wide, down = (out.shape[2] + 1) // 2, (out.shape[1] + 1) // 2
    room = -(-channels * size // BYTES) * BYTES
    strip, line = address(scratch, place * scratch.shape[1]), (2 * wide + 2) * room
    v = strip + 4 * line
    v_step, m_step = block * wide * room + BYTES, block * wide * outputs + BYTES  # no multiple of a page
    m = v + 16 * v_step
    lines = m + 16 * m_step
    term = lines + 4 * wide * outputs
    clear(strip, 4 * line // size, like)
    rows = len(x) * down
    for start in range(rows * share // shares, rows * (share + 1) // shares, block):
        stop = min(start + block, rows * (share + 1) // shares)
        for r in range(start, stop):
            first = 2 * (r % down) - top
            lay_lines(like, take, slope, x, value, r // down, first, 4, left, strip, 2 * wide + 2, room // size)
            for j in range(wide):
                tile = v + ((r - start) * wide + j) * room
                _transform_input(like, strip + 2 * j * room, line, room, tile, 4 * v_step, v_step, room // BYTES)
        for k in range(16):
            call(product, (
                (stop - start) * wide, outputs // BYTES, 0, v + k * v_step, room, 0,
                address(kernels, k * channels * kernels.shape[2]), 0, step, m + k * m_step, outputs, 1, channels,
            ))  # fmt: skip
        for r in range(start, stop):
            for j in range(wide):
                tile, to = m + ((r - start) * wide + j) * outputs, lines + 2 * j * outputs
                _transform_result(
                    like, tile, 4 * m_step, m_step, to, 2 * wide * outputs, outputs, outputs // BYTES
                )  # fmt: skip
            _give_tiles(
                like,
                take,
                give,
                slope,
                x,
                value,
                laid,
                before,
                after,
                activation,
                out,
                r // down,
                r % down,
                top,
                left,
                lines,
                term,
            )


_share_transforms, _share_tiles = shared(_transform_kernels), shared(_compute)


@entry
def winograd(
    board: int, stages: Any, slope: int, x: Any, value: Any, weight: Any, taps: Any, turned: bool, before: Any,
    after: Any, activation: int, out: Any, top: int, left: int, block: int, laid: Any, kernels: Any, scratch: Any,
) -> None:  # fmt: skip
    """Write φ(conv2d(slope(value) x, weight) + before) + after to `out`."""
    share_out(board, 9, share_kernel((stages[1], weight, taps, turned, laid)))
    share_out(board, 8, _share_transforms((8, laid, kernels)))
    rows = len(x) * ((out.shape[1] + 1) // 2)
    shares = min(-(-rows // block), 4096)
    work = _share_tiles(
        (shares, stages, slope, x, value, laid, kernels, before, after, activation, out, top, left, block, scratch)
    )  # fmt: skip
    share_out(board, shares, work)
