"""3×3 convolutions with stride 1 by Winograd's F(2×2, 3×3) (Lavin & Gray 2016, arXiv:1509.09308, §4.1 and algorithm 1).

Threads share the lines of tiles of all images. Some lines at a time are laid out with their padding, transformed,
multiplied channel by channel for each of the 16 places in a tile, and transformed back, all in the cache of a core.
Sums of a tile mix its pixels: one NaN spreads to all four. Where a sum is not finite, the pixel is therefore summed up
as the definition says.
"""

from __future__ import annotations

from typing import Any

from equilib_numba.compiling import compiled, entry
from equilib_numba.lines import give_pixels, lay_image, lay_kernel
from equilib_numba.memory import BYTES, address, call, clear, row, size_of
from equilib_numba.pixels import finite
from equilib_numba.team import share_out, shared
from equilib_numba.transforms import INPUT, KERNEL, RESULT, transform

_transform_input, _transform_kernel, _transform_result = transform(INPUT), transform(KERNEL), transform(RESULT)


@compiled
def _prepare(like: Any, laid: int, channels: int, outputs: int, step: int, kernels: int) -> None:
    """Transform a kernel laid out with `outputs` bytes for each of the channels, to `step` bytes for each."""
    for k in range(channels):
        _transform_kernel(
            like, laid + k * outputs, 3 * channels * outputs, channels * outputs, kernels + k * step,
            4 * channels * step, channels * step, outputs // BYTES,
        )  # fmt: skip


@compiled
def _sum_up(
    like: Any, take: int, images: Any, image: int, top: int, left: int, laid: int, pixel: int, outputs: int, term: int
) -> None:
    """Write Σ x[top + a, left + b] w[a, b] to a pixel, `term` being memory for the channels of one of x."""
    activation, x, value = images
    _, height, width, channels = x.shape
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
                line = row(laid + ((a * 3 + b) * channels + k) * outputs * size_of(like), outputs, like)
                for o in range(outputs):
                    total[o] += factors[k] * line[o]


@compiled
def _give_tiles(
    like: Any, stages: Any, images: Any, result: Any, image: int, tile: int, corner: Any, laid: int, lines: int,
    room: int, term: int,
) -> None:  # fmt: skip
    """Write a line of tiles, two lines of pixels, to the result."""
    take, give = stages[1:3]
    _, height, width, outputs = result[3].shape
    size = size_of(like)
    for a in range(min(2, height - 2 * tile)):
        line, y = lines + a * ((width + 1) // 2 * 2) * room * size, 2 * tile + a
        if not finite(like, line, width * room):
            for j in range(width):
                pixel = line + j * room * size
                if not finite(like, pixel, room):
                    _sum_up(like, take, images, image, y - corner[0], j - corner[1], laid, pixel, room, term)
        give_pixels(give, result, line, (image * height + y) * width * outputs, width, room)


@compiled
def _compute(
    share: int, place: int, shares: int, stages: Any, images: Any, kernel: Any, result: Any, corner: Any, block: int,
    scratch: Any, ready: Any,
) -> None:  # fmt: skip
    product, take = stages[:2]
    x, out = images[1], result[3]
    like, size, channels = x.dtype.type(0), x.itemsize, x.shape[3]
    wide, down = (out.shape[2] + 1) // 2, (out.shape[1] + 1) // 2
    room, rooms = -(-channels * size // BYTES) * BYTES, -(-out.shape[3] * size // BYTES) * BYTES
    step = rooms + (rooms // BYTES + 1) % 2 * BYTES  # an odd number of lines, so that rows lie in all parts of a cache
    kernels, line = address(scratch, place * scratch.shape[1]), (2 * wide + 2) * room
    strip = kernels + 16 * channels * step
    v = strip + 4 * line
    v_step, m_step = block * wide * room + BYTES, block * wide * rooms + BYTES
    m = v + 16 * v_step
    lines = m + 16 * m_step
    term = lines + 4 * wide * rooms
    laid = (
        lay_kernel(like, take, kernel, (3, 3), rooms // size, term + room) if not ready[place, 0] else ready[place, 0]
    )
    if not ready[place, 0]:
        _prepare(like, laid, channels, rooms, step, kernels)
        clear(strip, 4 * line // size, like)
        ready[place, 0] = laid
    last = len(x) * down * (share + 1) // shares
    for start in range(len(x) * down * share // shares, last, block):
        stop = min(start + block, last)
        for r in range(start, stop):
            first = 2 * (r % down) - corner[0]
            lay_image(stages, images, r // down, first, 4, corner[1], (strip, 2 * wide + 2, room // size))
            for j in range(wide):
                tile = v + ((r - start) * wide + j) * room
                _transform_input(like, strip + 2 * j * room, line, room, tile, 4 * v_step, v_step, room // BYTES)
        for k in range(16):
            call(product, (
                (stop - start) * wide, rooms // BYTES, 0, v + k * v_step, room, 0, kernels + k * channels * step, 0,
                step, m + k * m_step, rooms, 1, channels,
            ))  # fmt: skip
        for r in range(start, stop):
            for j in range(wide):
                tile, to = m + ((r - start) * wide + j) * rooms, lines + 2 * j * rooms
                _transform_result(like, tile, 4 * m_step, m_step, to, 2 * wide * rooms, rooms, rooms // BYTES)
            _give_tiles(
                like, stages, images, result, r // down, r % down, corner, laid, lines, rooms // size, term
            )  # fmt: skip


_share_tiles = shared(_compute)


@entry
def winograd(
    board: int, stages: Any, images: Any, kernel: Any, result: Any, corner: Any, block: int, scratch: Any, ready: Any
) -> None:
    """Write φ(conv2d(slope(value) x, weight) + before) + after.

    `images` are the slope's activation, x and value, `kernel` what `lay_kernel` takes, `result` before, after, φ and
    the array to write to. `ready` are words of each place on the board.
    """
    ready[:, 0] = 0
    shares = min(-(-len(images[1]) * ((result[3].shape[1] + 1) // 2) // block), 4096)
    work = _share_tiles((shares, stages, images, kernel, result, corner, block, scratch, ready))
    share_out(board, shares, work)
