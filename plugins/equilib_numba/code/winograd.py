"""3×3 convolutions with stride 1 by Winograd's F(2×2, 3×3) (Lavin & Gray 2016, arXiv:1509.09308, §4.1 and algorithm 1).

Threads share the lines of tiles of all images. Some lines at a time are laid out with their padding, transformed,
multiplied channel by channel for each of the 16 places in a tile, and transformed back, all in the cache of a core.
Sums of a tile mix its pixels: one NaN spreads to all four. Where a sum is not finite, the pixel is therefore summed up
as the definition says.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib_numba.code.compiling import compiled
from equilib_numba.code.memory import call, clear, row, size_of, words
from equilib_numba.code.pixels import finite
from equilib_numba.code.team import bounds
from equilib_numba.code.transforms import INPUT, transform
from equilib_numba.code.transforms import KERNEL as OF_KERNEL
from equilib_numba.code.transforms import RESULT as OF_RESULT
from equilib_numba.records import IMAGES, KERNEL, METHOD, RESULT, STAGES
from equilib_numba.registers import BYTES

_WORD = np.int64(0)
_transform_input, _transform_kernel, _transform_result = transform(INPUT), transform(OF_KERNEL), transform(OF_RESULT)


@compiled
def _sum_up(
    like: Any, images: int, take: int, image: int, top: int, left: int, laid: int, pixel: int, room: int, term: int
) -> None:
    """Write Σ x[top + a, left + b] w[a, b] to a pixel."""
    activation, x, value, _, height, width, channels = words(images, 7)
    clear(pixel, room, like)
    total, factors = row(pixel, room, like), row(term, channels, like)
    for tap in range(9):
        y, z = top + tap // 3, left + tap % 3
        clear(term, channels, like)  # outside, where 0 times an infinite weight is NaN too
        if 0 <= y < height and 0 <= z < width:
            by = ((image * height + y) * width + z) * channels * size_of(like)
            call(take, (activation, x + by, value + by, term, 1, channels, channels))
        for k in range(channels):
            line = row(laid + (tap * channels + k) * room * size_of(like), room, like)
            for o in range(room):
                total[o] += factors[k] * line[o]


def give_tiles(dtype: np.dtype) -> Any:
    """Return f(words, image, line, top, left, laid, lines, room, term): two lines of pixels are written.

    Pixels that are not finite are summed up from the kernel `laid` out, `term` being memory for one of x.
    """
    like, size = dtype.type(0), dtype.itemsize

    def tiles(
        given: int, image: int, tile: int, top: int, left: int, laid: int, lines: int, room: int, term: int
    ) -> None:
        _, take, give = words(given + STAGES, 3)
        before, before_step, after, after_step, activation, out, height, width, outputs = words(given + RESULT, 9)
        for a in range(min(2, height - 2 * tile)):
            line, y = lines + a * ((width + 1) // 2 * 2) * room * size, 2 * tile + a
            if not finite(like, line, width * room):
                for j in range(width):
                    pixel = line + j * room * size
                    if not finite(like, pixel, room):
                        _sum_up(like, given + IMAGES, take, image, y - top, j - left, laid, pixel, room, term)
            at = (image * height + y) * width
            call(give, (
                activation, line, before + at * max(0, before_step), before_step, after + at * max(0, after_step),
                after_step, out + at * outputs * size, width, outputs, room,
            ))  # fmt: skip

    return tiles


@compiled
def _prepare(like: Any, laid: int, channels: int, rooms: int, kernels: int, step: int) -> None:
    """Transform a kernel that is laid out with `rooms` bytes for a channel, to `step` bytes for each."""
    for k in range(channels):
        _transform_kernel(
            like, laid + k * rooms, 3 * channels * rooms, channels * rooms, kernels + k * step, 4 * channels * step,
            channels * step, rooms // BYTES,
        )  # fmt: skip


def winograd(dtype: np.dtype) -> Any:  # noqa: C901  the steps of one algorithm
    """Return the function of shares of blocks of lines of tiles."""
    like, size = dtype.type(0), dtype.itemsize

    def share_of(given: int, share: int, place: int) -> None:
        product, take, _, lay_image, lay_kernel = words(given + STAGES, 5)
        samples, _, _, channels = words(given + IMAGES + 24, 4)
        height, width, outputs = words(given + RESULT + 48, 3)
        top, left, block, scratch, own, ready_at, turn, give = words(given + METHOD, 8)
        laid = words(given + KERNEL + 88, 1)[0]
        wide, down = (width + 1) // 2, (height + 1) // 2
        room, rooms = -(-channels * size // BYTES) * BYTES, -(-outputs * size // BYTES) * BYTES
        step = rooms + (rooms // BYTES + 1) % 2 * BYTES  # an odd number of lines: rows lie in all parts of a cache
        kernels, line = scratch + place * own * size, (2 * wide + 2) * room
        strip = kernels + 16 * channels * step
        v = strip + 4 * line
        v_step, m_step = block * wide * room + BYTES, block * wide * rooms + BYTES
        m = v + 16 * v_step
        lines = m + 16 * m_step
        term = lines + 4 * wide * rooms
        ready = row(ready_at + place * 64, 1, _WORD)
        if not laid:
            laid = term + room
        if ready[0] != turn:
            if laid == term + room:
                call(lay_kernel, (given + KERNEL, take, laid, rooms // size))
            _prepare(like, laid, channels, rooms, kernels, step)
            clear(strip, 4 * line // size, like)
            ready[0] = turn
        blocks = bounds(given, share)
        for start in range(blocks[0] * block, min(blocks[1] * block, samples * down), block):
            stop = min(start + block, samples * down)
            for r in range(start, stop):
                image, first, pixels = r // down, 2 * (r % down) - top, 2 * wide + 2
                call(lay_image, (given + IMAGES, take, image, first, 4, left, strip, pixels, room // size))
                for j in range(wide):
                    tile = v + ((r - start) * wide + j) * room
                    _transform_input(like, strip + 2 * j * room, line, room, tile, 4 * v_step, v_step, room // BYTES)
            for k in range(16):
                call(product, (
                    (stop - start) * wide, rooms // BYTES, 0, v + k * v_step, room, size, 0,
                    kernels + k * channels * step, 0, step, m + k * m_step, rooms, 1, channels,
                ))  # fmt: skip
            for r in range(start, stop):
                for j in range(wide):
                    tile, to = m + ((r - start) * wide + j) * rooms, lines + 2 * j * rooms
                    _transform_result(like, tile, 4 * m_step, m_step, to, 2 * wide * rooms, rooms, rooms // BYTES)
                call(give, (given, r // down, r % down, top, left, laid, lines, rooms // size, term))

    return share_of
