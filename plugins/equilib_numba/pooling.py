"""Max pooling and its derivative, an image at a time."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from equilib_numba.compiling import c_function, compiled
from equilib_numba.memory import clear, row, words
from equilib_numba.scratch import plain, scratch
from equilib_numba.team import HEAD, bounds, run, team

Pair = tuple[int, int]


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


@cache
def _pool(dtype: np.dtype) -> int:
    """Return the address of max pooling for shares of the images."""
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

    return c_function(pool, 3)


@cache
def _derive(dtype: np.dtype) -> int:  # noqa: C901  compiled functions are shorter than calls
    """Return the address of J·v, or of Jᵀ·g where `back`, for shares of the images."""
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

    return c_function(derive, 3)


def _sizes(x: np.ndarray, top: np.ndarray, window: Pair, stride: Pair) -> tuple[int, ...]:
    return (*top.shape[1:], *x.shape[1:3], *window, *stride)


def max_pool(x: np.ndarray, window: Pair, stride: Pair) -> np.ndarray:
    """Return the largest value of each window, shape (batch, H', W', C)."""
    x = plain(x)
    rows, columns = ((x.shape[1 + axis] - window[axis]) // stride[axis] + 1 for axis in (0, 1))
    out = np.empty((len(x), rows, columns, x.shape[3]), x.dtype)
    run(_pool(x.dtype), len(x), x, out, *_sizes(x, out, window, stride), most=4096)
    return out


def max_pool_push(v: np.ndarray, x: np.ndarray, top: np.ndarray, window: Pair, stride: Pair) -> np.ndarray:
    """Return J·v, like `top`."""
    return _derived(v, x, top, window, stride, back=False)


def max_pool_pull(g: np.ndarray, x: np.ndarray, top: np.ndarray, window: Pair, stride: Pair) -> np.ndarray:
    """Return Jᵀ·g, like x."""
    return _derived(g, x, top, window, stride, back=True)


def _derived(v: np.ndarray, x: np.ndarray, top: np.ndarray, window: Pair, stride: Pair, *, back: bool) -> np.ndarray:
    v, x, top = plain(v), plain(x), plain(top)
    out = np.empty((x if back else top).shape, x.dtype)
    memory = scratch("own", (team().count, x.shape[3]), x.dtype)
    sizes = _sizes(x, top, window, stride)
    run(_derive(x.dtype), len(x), v, x, top, out, back, memory, *sizes, most=4096)
    return out
