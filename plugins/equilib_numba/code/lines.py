"""Lines of images and kernels, laid out for a product of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib_numba.code.compiling import compiled
from equilib_numba.code.memory import call, clear, row, size_of, words
from equilib_numba.records import IDENTITY


def lay_image(dtype: np.dtype) -> Any:
    """Return f(images, take, image, first, count, left, target, pixels, room).

    It lays out lines `first`, `first` + 1, ... of one of the images, a record, from column −left on. What lies outside
    is left or made zero: the columns outside must be zero before. Each pixel has its room.
    """
    like, size = dtype.type(0), dtype.itemsize

    def lines(
        images: int, take: int, image: int, first: int, count: int, left: int, target: int, pixels: int, room: int
    ) -> None:
        activation, x, value, _, height, width, channels = words(images, 7)
        start, stop = max(0, -left), min(width, pixels - left)
        for k in range(count):
            line, y = target + k * pixels * room * size, first + k
            if 0 <= y < height:
                by = ((image * height + y) * width + start) * channels * size
                into = line + (start + left) * room * size
                call(take, (activation, x + by, value + by, into, stop - start, channels, room))
            else:
                clear(line, pixels * room, like)

    return lines


def lay_kernel(dtype: np.dtype) -> Any:
    """Return f(kernel, take, target, room).

    It lays out a kernel, a record, as (height, width, terms, outputs), the numbers of an output with their room.
    """
    like, size = dtype.type(0), dtype.itemsize

    def kernel_of(kernel: int, take: int, target: int, room: int) -> None:
        weight, columns, inputs, outputs, a, a_step, b, b_step, height, width, turned, _ = words(kernel, 12)
        terms = outputs if turned else inputs
        for i in range(height):
            for j in range(width):
                tap = weight + ((a + i * a_step) * columns + b + j * b_step) * inputs * outputs * size
                to = target + (i * width + j) * terms * room * size
                clear(to, terms * room, like)
                if turned:
                    _turn(like, tap, outputs, inputs, to, room)
                else:
                    call(take, (IDENTITY, tap, tap, to, terms, outputs, room))

    return kernel_of


@compiled
def _turn(like: Any, source: int, terms: int, outputs: int, target: int, room: int) -> None:
    """Write the transpose of a matrix (outputs, terms) in rows of `room` numbers."""
    to = row(target, terms * room, like)
    for o in range(outputs):
        line = row(source + o * terms * size_of(like), terms, like)
        for k in range(terms):
            to[k * room + o] = line[k]
