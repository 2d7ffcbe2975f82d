"""Cotangents of a convolution's kernel: sums over all pixels of windows times cotangents of the result.

Each share of the lines has sums of its own, which are added in order, so that the bits do not depend on who computed
what.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib_numba.code.memory import call, clear, row, words
from equilib_numba.code.team import bounds
from equilib_numba.code.transforms import COTANGENT, GRADIENT, INPUT, transform
from equilib_numba.records import COTANGENTS, HEAD, IMAGES, METHOD, STAGES
from equilib_numba.registers import BYTES

_transform_input, _transform_cotangent, _transform_sums = transform(INPUT), transform(COTANGENT), transform(GRADIENT)


def sum_windows(dtype: np.dtype) -> Any:
    """Return the function of shares of lines that sums up windows times cotangents.

    Its words are, besides the records, stride, corner of padding, size of the kernel, lines at a time, sums, scratch.
    """
    like, size = dtype.type(0), dtype.itemsize

    def share_of(given: int, share: int, place: int) -> None:
        product, take, _, lay_image, _ = words(given + STAGES, 5)
        channels = words(given + IMAGES + 48, 1)[0]
        slope, g, value, _, rows, columns, outputs = words(given + COTANGENTS, 7)
        down, across, top, left, height, width, block, all_sums, scratch, own = words(given + METHOD, 10)
        registers, pixels, terms = -(-outputs * size // BYTES), (columns - 1) * across + width, width * channels
        room, line = registers * BYTES, pixels * channels * size
        strip = scratch + place * own * size
        cotangents = strip + -(-((block - 1) * down + height) * line // BYTES) * BYTES
        clear(strip, (cotangents - strip) // size, like)
        clear(cotangents, block * columns * room // size, like)
        sums, added = all_sums + share * height * terms * room, 0
        start, stop = bounds(given, share)
        while start < stop:
            image, i = start // rows, start % rows
            count = min(block, stop - start, rows - i)
            depth, by = (count - 1) * down + height, start * columns * outputs * size
            call(lay_image, (given + IMAGES, take, image, i * down - top, depth, left, strip, pixels, channels))
            call(take, (slope, g + by, value + by, cotangents, count * columns, outputs, room // size))
            for a in range(height):
                call(product, (
                    terms, registers, added, strip + a * line, size, across * channels * size, down * line,
                    cotangents, columns * room, room, sums + a * terms * room, room, count, columns,
                ))  # fmt: skip
            start, added = start + count, 1

    return share_of


def add_sums(dtype: np.dtype) -> Any:
    """Return the function of shares of rows that adds the sums of all parts."""
    like, size = dtype.type(0), dtype.itemsize

    def share_of(given: int, share: int, place: int) -> None:
        _, rows = words(given, 2)
        sums, parts, room, out, outputs = words(given + HEAD, 5)
        first, last = bounds(given, share)
        for r in range(first, last):
            total, own = row(out + r * outputs * size, outputs, like), row(sums + r * room * size, outputs, like)
            for o in range(outputs):
                total[o] = own[o]
            for part in range(1, parts):
                term = row(sums + (part * rows + r) * room * size, outputs, like)
                for o in range(outputs):
                    total[o] += term[o]

    return share_of


def sum_tiles(dtype: np.dtype) -> Any:
    """Return the function of shares of lines of tiles that does so for 3×3 kernels, by F(3×3, 2×2).

    Its words are, besides the records, corner of padding, lines of tiles at a time, sums and scratch.
    """
    like, size = dtype.type(0), dtype.itemsize

    def share_of(given: int, share: int, place: int) -> None:
        product, take, _, lay_image, _ = words(given + STAGES, 5)
        channels = words(given + IMAGES + 48, 1)[0]
        height, width, outputs = words(given + COTANGENTS + 32, 3)
        top, left, block, all_sums, scratch, own = words(given + METHOD, 6)
        wide, down = (width + 1) // 2, (height + 1) // 2
        room, rooms = -(-channels * size // BYTES) * BYTES, -(-outputs * size // BYTES) * BYTES
        line, g_line = (2 * wide + 2) * room, 2 * wide * rooms
        strip = scratch + place * own * size
        cotangents = strip + 4 * line
        v = cotangents + 2 * g_line
        v_step, q_step = block * wide * room + BYTES, block * wide * rooms + BYTES
        q = v + 16 * v_step
        clear(strip, (v - strip) // size, like)
        sums, (first, last) = all_sums + share * 16 * channels * rooms, bounds(given, share)
        for start in range(first, last, block):
            stop = min(start + block, last)
            for r in range(start, stop):
                image, i = r // down, 2 * (r % down)
                call(lay_image, (
                    given + IMAGES, take, image, i - top, 4, left, strip, 2 * wide + 2, room // size
                ))  # fmt: skip
                call(lay_image, (given + COTANGENTS, take, image, i, 2, 0, cotangents, 2 * wide, rooms // size))
                for j in range(wide):
                    tile = (r - start) * wide + j
                    to = v + tile * room
                    _transform_input(like, strip + 2 * j * room, line, room, to, 4 * v_step, v_step, room // BYTES)
                    to, of = q + tile * rooms, cotangents + 2 * j * rooms
                    _transform_cotangent(like, of, g_line, rooms, to, 4 * q_step, q_step, rooms // BYTES)
            for k in range(16):
                call(product, (
                    channels, rooms // BYTES, int(start > first), v + k * v_step, size, room, 0, q + k * q_step,
                    0, rooms, sums + k * channels * rooms, rooms, 1, (stop - start) * wide,
                ))  # fmt: skip

    return share_of


def add_tiles(dtype: np.dtype) -> Any:
    """Return the function of shares of channels that adds the sums of all parts and transforms them."""
    like, size = dtype.type(0), dtype.itemsize

    def share_of(given: int, share: int, place: int) -> None:
        _, channels = words(given, 2)
        sums, parts, room, out, outputs, scratch, own = words(given + HEAD, 7)
        taps, step = scratch + place * own * size, channels * room * size
        first, last = bounds(given, share)
        for c in range(first, last):
            for k in range(16):
                total = row(sums + (k * channels + c) * room * size, room, like)
                for part in range(1, parts):
                    term = row(sums + ((part * 16 + k) * channels + c) * room * size, room, like)
                    for o in range(room):
                        total[o] += term[o]
            at, registers = sums + c * room * size, room * size // BYTES
            _transform_sums(like, at, 4 * step, step, taps, 3 * room * size, room * size, registers)
            for k in range(9):
                source = row(taps + k * room * size, outputs, like)
                target = row(out + (k * channels + c) * outputs * size, outputs, like)
                for o in range(outputs):
                    target[o] = source[o]

    return share_of
