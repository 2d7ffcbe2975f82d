"""Cotangents of a convolution's kernel: sums over all pixels of windows times cotangents of the result.

Each share of the lines has sums of its own, which are added in order, so that the bits do not depend on who computed
what.
"""

from __future__ import annotations

from typing import Any

from equilib_numba.compiling import compiled, entry
from equilib_numba.lines import lay_image
from equilib_numba.memory import BYTES, address, call, clear, row
from equilib_numba.pixels import finite
from equilib_numba.team import share_out, shared
from equilib_numba.transforms import COTANGENT, GRADIENT, INPUT, transform

_transform_input, _transform_cotangent, _transform_sums = transform(INPUT), transform(COTANGENT), transform(GRADIENT)


@compiled
def _sum_windows(
    share: int, place: int, stages: Any, slope: int, x: Any, g: Any, value: Any, stride: Any, corner: Any, block: int,
    sums: Any, scratch: Any,
) -> None:  # fmt: skip
    product, take, identity = stages[:3]
    like, item, channels, outputs = x.dtype.type(0), x.itemsize, x.shape[3], g.shape[3]
    shares, height, terms, room = sums.shape
    width = terms // channels
    pixels = (g.shape[2] - 1) * stride[1] + width
    line, room = pixels * channels * item, room * item
    strip = address(scratch, place * scratch.shape[1])
    depth = (block - 1) * stride[0] + height
    cotangents = strip + -(-depth * line // BYTES) * BYTES
    clear(strip, (cotangents - strip) // item, like)
    clear(cotangents, block * g.shape[2] * room // item, like)
    own, rows, added = address(sums, share * height * terms * sums.shape[3]), len(x) * g.shape[1], 0
    start, stop = rows * share // shares, rows * (share + 1) // shares
    while start < stop:
        image, i = start // g.shape[1], start % g.shape[1]
        count = min(block, stop - start, g.shape[1] - i)
        depth = (count - 1) * stride[0] + height
        first = i * stride[0] - corner[0]
        lay_image(stages, (identity, x, x), image, first, depth, corner[1], (strip, pixels, channels))
        at = start * g.shape[2] * outputs
        call(take, (
            slope, address(g, at), address(value, at), cotangents, count * g.shape[2], outputs, room // item
        ))  # fmt: skip
        for a in range(height):
            call(product, (
                terms, room // BYTES, added, strip + a * line, stride[0] * line, stride[1] * channels * item,
                cotangents, g.shape[2] * room, room, own + a * terms * room, room, count, g.shape[2],
            ))  # fmt: skip
        start, added = start + count, 1
    if not added:
        clear(own, height * terms * room // item, like)


@compiled
def _add_sums(share: int, place: int, shares: int, sums: Any, out: Any) -> None:
    """Write the sum over the shares of sums to a share of the rows of the cotangent."""
    like = sums.dtype.type(0)
    parts, height, terms, room = sums.shape
    outputs, rows = out.shape[3], height * terms
    for r in range(rows * share // shares, rows * (share + 1) // shares):
        total = row(address(out, r * outputs), outputs, like)
        first = row(address(sums, r * room), outputs, like)
        for o in range(outputs):
            total[o] = first[o]
        for part in range(1, parts):
            term = row(address(sums, (part * rows + r) * room), outputs, like)
            for o in range(outputs):
                total[o] += term[o]


_share_windows, _share_sums = shared(_sum_windows), shared(_add_sums)


@entry
def sum_windows(
    board: int, stages: Any, slope: int, x: Any, g: Any, value: Any, stride: Any, corner: Any, block: int, sums: Any,
    out: Any, scratch: Any,
) -> None:  # fmt: skip
    """Write conv2d_weight_transpose(x, slope(value) g) to `out`."""
    work = _share_windows((stages, slope, x, g, value, stride, corner, block, sums, scratch))
    share_out(board, len(sums), work)
    share_out(board, 8, _share_sums((8, sums, out)))


@compiled
def _sum_tiles(
    share: int, place: int, stages: Any, slope: int, x: Any, g: Any, value: Any, corner: Any, block: int, sums: Any,
    scratch: Any,
) -> None:  # fmt: skip
    product, identity = stages[0], stages[2]
    like, item, channels = x.dtype.type(0), x.itemsize, x.shape[3]
    wide, down = (g.shape[2] + 1) // 2, (g.shape[1] + 1) // 2
    room, g_room = -(-channels * item // BYTES) * BYTES, sums.shape[3] * item
    line, g_line = (2 * wide + 2) * room, 2 * wide * g_room
    strip = address(scratch, place * scratch.shape[1])
    cotangents = strip + 4 * line
    v = cotangents + 2 * g_line
    v_step, q_step = block * wide * room + BYTES, block * wide * g_room + BYTES
    q = v + 16 * v_step
    clear(strip, (v - strip) // item, like)
    own, rows = address(sums, share * 16 * channels * sums.shape[3]), len(x) * down
    first, last = rows * share // len(sums), rows * (share + 1) // len(sums)
    for start in range(first, last, block):
        stop = min(start + block, last)
        for r in range(start, stop):
            image, i = r // down, 2 * (r % down)
            target = strip, 2 * wide + 2, room // item
            lay_image(stages, (identity, x, x), image, i - corner[0], 4, corner[1], target)
            lay_image(stages, (slope, g, value), image, i, 2, 0, (cotangents, 2 * wide, g_room // item))
            for j in range(wide):
                tile = (r - start) * wide + j
                to = v + tile * room
                _transform_input(like, strip + 2 * j * room, line, room, to, 4 * v_step, v_step, room // BYTES)
                to, of = q + tile * g_room, cotangents + 2 * j * g_room
                _transform_cotangent(like, of, g_line, g_room, to, 4 * q_step, q_step, g_room // BYTES)
        for k in range(16):
            call(product, (
                channels, g_room // BYTES, int(start > first), v + k * v_step, 0, room, q + k * q_step, 0, g_room,
                own + k * channels * g_room, g_room, 1, (stop - start) * wide,
            ))  # fmt: skip
    if first == last:
        clear(own, 16 * channels * g_room // item, like)


@compiled
def _add_tiles(share: int, place: int, shares: int, sums: Any, out: Any, scratch: Any) -> None:
    """Write the cotangents of a share of the channels, from the sums over the shares of tiles."""
    like = sums.dtype.type(0)
    parts, _, channels, room = sums.shape
    outputs, item = out.shape[3], sums.itemsize
    taps = address(scratch, place * scratch.shape[1])
    for c in range(channels * share // shares, channels * (share + 1) // shares):
        for k in range(16):
            total = row(address(sums, (k * channels + c) * room), room, like)
            for part in range(1, parts):
                term = row(address(sums, ((part * 16 + k) * channels + c) * room), room, like)
                for o in range(room):
                    total[o] += term[o]
        step = channels * room * item
        _transform_sums(
            like, address(sums, c * room), 4 * step, step, taps, 3 * room * item, room * item, room * item // BYTES
        )
        for k in range(9):
            source, target = row(taps + k * room * item, outputs, like), address(out, (k * channels + c) * outputs)
            to = row(target, outputs, like)
            for o in range(outputs):
                to[o] = source[o]


_share_tiles, _share_cotangents = shared(_sum_tiles), shared(_add_tiles)


@entry
def sum_tiles(
    board: int, stages: Any, slope: int, x: Any, g: Any, value: Any, corner: Any, block: int, sums: Any, out: Any,
    scratch: Any,
) -> bool:  # fmt: skip
    """Write conv2d_weight_transpose(x, slope(value) g) to `out`, of 3×3 kernels with stride 1, by F(3×3, 2×2).

    Return whether it is finite: if not, some of it may be NaN that should not be.
    """
    work = _share_tiles((stages, slope, x, g, value, corner, block, sums, scratch))
    share_out(board, len(sums), work)
    share_out(board, 8, _share_cotangents((8, sums, out, scratch)))
    return finite(x.dtype.type(0), address(out, 0), out.size)
