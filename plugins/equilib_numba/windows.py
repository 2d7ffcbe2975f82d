"""Convolutions with any kernel and stride, line by line of the result.

The windows of a line of pixels overlap in the lines of the image that they come from: their products with the kernel
take their numbers from there (Georganas et al. 2018, arXiv:1808.05567, §II), once these lines are laid out with their
padding.
"""

from __future__ import annotations

from typing import Any

from equilib_numba.compiling import compiled, entry
from equilib_numba.lines import give_pixels, lay_image, lay_kernel
from equilib_numba.memory import BYTES, address, call, clear
from equilib_numba.team import share_out, shared


@compiled
def _compute(
    share: int, place: int, shares: int, stages: Any, images: Any, kernel: Any, result: Any, stride: Any, corner: Any,
    height: int, width: int, size: Any, placed: Any, scratch: Any, ready: Any,
) -> None:  # fmt: skip
    product, take, give = stages[:3]
    x, out = images[1], result[3]
    like, item, channels, outputs = x.dtype.type(0), x.itemsize, x.shape[3], out.shape[3]
    registers = -(-outputs * item // BYTES)
    pixels, room = (size[1] - 1) * stride[1] + width, registers * BYTES
    line = pixels * channels * item
    strip = address(scratch, place * scratch.shape[1])
    sums = strip + -(-height * line // BYTES) * BYTES
    if not ready[place, 0]:
        clear(strip, height * line // item, like)
        laid = lay_kernel(like, take, kernel, (height, width), room // item, sums + size[1] * room)
        ready[place, 0] = laid
    rows = len(x) * size[0]
    for r in range(rows * share // shares, rows * (share + 1) // shares):
        image, i = r // size[0], r % size[0]
        first = i * stride[0] - corner[0]
        lay_image(stages, images, image, first, height, corner[1], (strip, pixels, channels))
        call(product, (
            size[1], registers, 0, strip, stride[1] * channels * item, line, ready[place, 0], width * channels * room,
            room, sums, room, height, width * channels,
        ))  # fmt: skip
        y, y_step, z, z_step = placed
        start = ((image * out.shape[1] + y + i * y_step) * out.shape[2] + z) * outputs
        if z_step == 1:
            give_pixels(give, result, sums, start, size[1], room // item)
        else:
            for j in range(size[1]):
                give_pixels(give, result, sums + j * room, start + j * z_step * outputs, 1, room // item)


_share_lines = shared(_compute)


@entry
def windows(
    board: int, stages: Any, images: Any, kernel: Any, result: Any, stride: Any, corner: Any, height: int, width: int,
    size: Any, placed: Any, scratch: Any, ready: Any,
) -> None:  # fmt: skip
    """Write φ(conv2d(slope(value) x, weight) + before) + after to pixels of the result.

    The arguments are those of `winograd`; `corner` are the rows and columns of padding before the image, `size` is the
    one of the convolution, whose pixels are `placed`: first row and step, first column and step.
    """
    ready[:, 0] = 0
    shares = min(len(images[1]) * size[0], 512)
    work = _share_lines(
        (shares, stages, images, kernel, result, stride, corner, height, width, size, placed, scratch, ready)
    )
    share_out(board, shares, work)
