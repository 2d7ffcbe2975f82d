"""Convolutions with any kernel and stride, line by line of the result.

The windows of a line of pixels overlap in the lines of the image that they come from: their products with the kernel
take their numbers from there (Georganas et al. 2018, arXiv:1808.05567, §II), once these lines are laid out with their
padding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib_numba.code.memory import call, clear, row, words
from equilib_numba.code.team import bounds
from equilib_numba.records import IMAGES, KERNEL, METHOD, RESULT, STAGES
from equilib_numba.registers import BYTES

_WORD = np.int64(0)


def windows(dtype: np.dtype) -> Any:
    """Return the function of shares of lines of the result.

    Its words are, besides the records, stride, corner of padding, size of the convolution, and the first row, step,
    first column and step of its pixels in the result.
    """
    like, size = dtype.type(0), dtype.itemsize

    def share_of(given: int, share: int, place: int) -> None:
        product, take, give, lay_image, lay_kernel = words(given + STAGES, 5)
        channels = words(given + IMAGES + 48, 1)[0]
        before, before_step, after, after_step, activation, out, out_height, out_width, outputs = words(
            given + RESULT, 9
        )
        height, width, _, laid = words(given + KERNEL + 64, 4)
        down, across, top, left, rows, columns, y, y_step, z, z_step = words(given + METHOD, 10)
        scratch, own, ready_at, turn = words(given + METHOD + 80, 4)
        registers, pixels = -(-outputs * size // BYTES), (columns - 1) * across + width
        room, line = registers * BYTES, pixels * channels * size
        strip = scratch + place * own * size
        sums = strip + -(-height * line // BYTES) * BYTES
        ready = row(ready_at + place * 64, 1, _WORD)
        if ready[0] != turn:
            clear(strip, height * line // size, like)
            if not laid:
                call(lay_kernel, (given + KERNEL, take, sums + columns * room, room // size))
            ready[0] = turn
        laid = laid if laid else sums + columns * room
        shared = bounds(given, share)
        for r in range(shared[0], shared[1]):
            image, i = r // rows, r % rows
            call(lay_image, (
                given + IMAGES, take, image, i * down - top, height, left, strip, pixels, channels
            ))  # fmt: skip
            call(product, (
                columns, registers, 0, strip, across * channels * size, size, line, laid, width * channels * room,
                room, sums, room, height, width * channels,
            ))  # fmt: skip
            count = columns if z_step == 1 else 1
            for j in range(0, columns, count):
                at = (image * out_height + y + i * y_step) * out_width + z + j * z_step
                call(give, (
                    activation, sums + j * room, before + at * max(0, before_step), before_step,
                    after + at * max(0, after_step), after_step, out + at * outputs * size, count, outputs,
                    room // size,
                ))  # fmt: skip

    return share_of
