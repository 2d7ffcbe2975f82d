"""Convolutions with any kernel and stride, line by line of the result.

The windows of a line of pixels overlap in the lines of the image that they come from: their products with the kernel
take their numbers from there (Georganas et al. 2018, arXiv:1808.05567, §II), once these lines are laid out with their
padding.
"""

from __future__ import annotations

from typing import Any

from equilib_numba.compiling import compiled, entry
from equilib_numba.lines import give_pixels, lay_lines, share_kernel
from equilib_numba.memory import BYTES, address, call, clear
from equilib_numba.team import share_out, shared


@compiled
def _compute(
    share: int, place: int, shares: int, stages: Any, slope: int, x: Any, value: Any, laid: Any, before: Any,
    after: Any, activation: int, out: Any, stride: Any, corner: Any, size: Any, placed: Any, scratch: Any,
) -> None:  # fmt: skip
    product, take, give = stages
    like, item, channels, outputs = x.dtype.type(0), x.itemsize, x.shape[3], out.shape[3]
    height, width, _, room = laid.shape
    registers = -(-outputs * item // BYTES)
    pixels = (size[1] - 1) * stride[1] + width
    line = pixels * channels * item
    strip = address(scratch, place * scratch.shape[1])
    sums = strip + -(-height * line // BYTES) * BYTES
    clear(strip, height * line // item, like)
    rows = len(x) * size[0]
    for r in range(rows * share // shares, rows * (share + 1) // shares):
        image, i = r // size[0], r % size[0]
        first = i * stride[0] - corner[0]
        lay_lines(like, take, slope, x, value, image, first, height, corner[1], strip, pixels, channels)
        call(product, (
            size[1], registers, 0, strip, stride[1] * channels * item, line, address(laid, 0),
            width * channels * room * item, room * item, sums, registers * BYTES, height, width * channels,
        ))  # fmt: skip
        y, y_step, z, z_step = placed
        start = ((image * out.shape[1] + y + i * y_step) * out.shape[2] + z) * outputs
        lanes = registers * BYTES // item
        if z_step == 1:
            give_pixels(like, give, activation, sums, before, after, out, start, size[1], lanes)
        else:
            for j in range(size[1]):
                pixel, to = sums + j * registers * BYTES, start + j * z_step * outputs
                give_pixels(like, give, activation, pixel, before, after, out, to, 1, lanes)


_share_lines = shared(_compute)


@entry
def windows(
    board: int, stages: Any, slope: int, x: Any, value: Any, weight: Any, taps: Any, turned: bool, before: Any,
    after: Any, activation: int, out: Any, stride: Any, corner: Any, size: Any, placed: Any, laid: Any, scratch: Any,
) -> None:  # fmt: skip
    """Write φ(conv2d(slope(value) x, weight) + before) + after to pixels of `out`.

    `corner` are the rows and columns of padding before the image; `size` is the one of the result, whose pixels have
    their `placed` in `out`: first row and step, first column and step.
    """
    share_out(board, laid.shape[0] * laid.shape[1], share_kernel((stages[1], weight, taps, turned, laid)))
    shares = min(len(x) * size[0], 512)
    work = _share_lines(
        (shares, stages, slope, x, value, laid, before, after, activation, out, stride, corner, size, placed, scratch)
    )
    share_out(board, shares, work)
