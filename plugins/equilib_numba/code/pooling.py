"""Max pooling and its derivative, an image at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib_numba.code.compiling import compiled
from equilib_numba.code.memory import clear, row, words
from equilib_numba.code.team import bounds
from equilib_numba.records import HEAD


@compiled
def _largest(like: Any, x: int, line: int, height: int, width: int, top: Any) -> None:
    """Set numbers to the largest of each channel in a window; nan wins."""
    channels = len(top)
    for i in range(height):
        pixels = row(x + i * line, width * channels, like)
        for j in range(width):
            pixel = pixels[j * channels : (j + 1) * channels]
            if i + j == 0:
                for c in range(channels):
                    top[c] = pixel[c]
            else:
                for c in range(channels):
                    top[c] = pixel[c] if pixel[c] > top[c] or pixel[c] != pixel[c] else top[c]


def pool(dtype: np.dtype) -> Any:
    """Return the function of max pooling of shares of the images."""
    like, size = dtype.type(0), dtype.itemsize

    def pool(given: int, share: int, place: int) -> None:
        x, out, rows, columns, channels, high, wide = words(given + HEAD, 7)
        height, width, down, across = words(given + HEAD + 56, 4)
        line, images = wide * channels * size, bounds(given, share)
        for image in range(images[0], images[1]):
            for i in range(rows):
                for j in range(columns):
                    at = x + (image * high + i * down) * line + j * across * channels * size
                    to = out + ((image * rows + i) * columns + j) * channels * size
                    _largest(like, at, line, height, width, row(to, channels, like))

    return pool


def derive(dtype: np.dtype) -> Any:  # noqa: C901  compiled functions are shorter than calls
    """Return the function J·v, or Jᵀ·g where `back`, of shares of the images."""
    like, size, one = dtype.type(0), dtype.itemsize, dtype.type(1)

    def derive(given: int, share: int, place: int) -> None:  # noqa: C901
        v, x, top_at, out, back, memory, rows = words(given + HEAD, 7)
        columns, channels, high, wide, height, width, down, across = words(given + HEAD + 56, 8)
        pixel, images = channels * size, bounds(given, share)
        line = wide * pixel
        parts = row(memory + place * pixel, channels, like)
        for image in range(images[0], images[1]):
            if back:
                clear(out + image * high * line, high * wide * channels, like)
            for k in range(rows * columns):
                here = (image * rows * columns + k) * pixel
                first = (image * high + k // columns * down) * line + k % columns * across * pixel
                top = row(top_at + here, channels, like)
                for c in range(channels):
                    parts[c] = like
                for i in range(height):
                    for j in range(width):
                        own = row(x + first + i * line + j * pixel, channels, like)
                        for c in range(channels):
                            parts[c] += one if own[c] == top[c] else like
                for c in range(channels):
                    parts[c] = one / parts[c]
                if not back:
                    clear(out + here, channels, like)
                for i in range(height):
                    for j in range(width):
                        at = first + i * line + j * pixel
                        own, given_at, to_at = row(x + at, channels, like), here if back else at, at if back else here
                        vector, to = row(v + given_at, channels, like), row(out + to_at, channels, like)
                        for c in range(channels):
                            to[c] += vector[c] * ((one if own[c] == top[c] else like) * parts[c])

    return derive
