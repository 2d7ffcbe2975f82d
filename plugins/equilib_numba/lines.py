"""Lines of images and kernels, laid out for a product of matrices, and lines of pixels that come out of it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from equilib_numba.compiling import c_function, compiled
from equilib_numba.memory import address, call, clear, row, size_of
from equilib_numba.pixels import IDENTITY


@compiled
def lay_kernel(like: Any, take: int, kernel: Any, size: Any, room: int, target: int) -> int:
    """Return the address of a kernel laid out as (height, width, terms, outputs), each row of outputs with its room.

    That is `target`, unless the weight is laid out so. `kernel` are the weight, the first line and step and the first
    column and step that are taken of it, and whether it is the transpose's, whose channels are exchanged; `size` is
    its height and width.
    """
    weight, taps, turned = kernel
    item, outputs = weight.itemsize, weight.shape[2] if turned else weight.shape[3]
    if not turned and room == outputs and size == weight.shape[:2]:
        return address(weight, 0)
    terms = weight.shape[3] if turned else weight.shape[2]
    for a in range(size[0]):
        for b in range(size[1]):
            tap = weight[taps[0] + a * taps[1], taps[2] + b * taps[3]]
            to = target + (a * size[1] + b) * terms * room * item
            if turned:
                _turn(like, address(tap, 0), terms, outputs, to, room)
            else:
                call(take, (IDENTITY, address(tap, 0), address(tap, 0), to, terms, outputs, room))
                for k in range(terms):
                    clear(to + (k * room + outputs) * item, room - outputs, like)
    return target


@compiled
def _turn(like: Any, source: int, terms: int, outputs: int, target: int, room: int) -> None:
    """Write the transpose of a matrix (outputs, terms) with rows of `room` numbers."""
    clear(target, terms * room, like)
    to = row(target, terms * room, like)
    for o in range(outputs):
        line = row(source + o * terms * size_of(like), terms, like)
        for k in range(terms):
            to[k * room + o] = line[k]


@cache
def lay_lines(dtype: np.dtype) -> int:
    """Return the address of a function of 13 words that lays out lines of an image.

    f(take, activation, x, value, height, width, channels, first, count, left, target, pixels, room) copies φ'(a) x of
    the lines `first`, `first` + 1, ... from column −left on, φ(a) being `value`; both are addresses of an image. What
    lies outside is left or made zero: the columns outside must be zero before. Each pixel has its room.
    """
    like, size = dtype.type(0), dtype.itemsize

    def lines(
        take: int, activation: int, x: int, value: int, height: int, width: int, channels: int, first: int, count: int,
        left: int, target: int, pixels: int, room: int,
    ) -> None:  # fmt: skip
        start, stop = max(0, -left), min(width, pixels - left)
        for k in range(count):
            line, y = target + k * pixels * room * size, first + k
            if 0 <= y < height:
                by = (y * width + start) * channels * size
                into = line + (start + left) * room * size
                call(take, (activation, x + by, value + by, into, stop - start, channels, room))
            else:
                clear(line, pixels * room, like)

    return c_function(lines, 13)


@compiled
def lay_image(stages: Any, images: Any, image: int, first: int, count: int, left: int, target: Any) -> None:
    """Lay out lines of one of the images: an activation, x and value. `target` are address, pixels and room."""
    activation, x, value = images
    _, height, width, channels = x.shape
    at, (place, pixels, room) = image * height * width * channels, target
    call(stages[3], (
        stages[1], activation, address(x, at), address(value, at), height, width, channels, first, count, left, place,
        pixels, room,
    ))  # fmt: skip


@compiled
def give_pixels(give: int, result: Any, source: int, start: int, pixels: int, room: int) -> None:
    """Write φ(numbers + before) + after from number `start` on; `result` are before, after, φ and the array."""
    before, after, activation, out = result
    outputs = out.shape[3]
    at = address(before, start if before.size > outputs else 0), address(after, start if after.size > outputs else 0)
    steps = _step(before, outputs), _step(after, outputs)
    call(give, (activation, source, at[0], steps[0], at[1], steps[1], address(out, start), pixels, outputs, room))


@compiled
def _step(term: Any, outputs: int) -> int:
    """Return the bytes from a pixel's numbers in a term to the next: 0 for a bias, −1 where there is no term."""
    if term.size == 0:
        return -1
    return outputs * term.itemsize if term.size > outputs else 0
