"""Convolution of wide images on the host, a line of the kernel at a time.

Laying out whole windows writes kernel height · kernel width times the image to memory. Laying out the windows of
single lines writes kernel width times the image; with the lines of all images stored next to each other, the lines that
meet line a of the kernel are one contiguous block, whatever a is, so that

    y = Σ_a block_a · w[a]

takes one matrix product for each line of the kernel and no further copy.
"""

from __future__ import annotations

import numpy as np

from equilib.ops.windows import Pair, window_count

# Below this many numbers in a line of a window, a few thin products are slower than one wide one.
WIDE = 64


def conv2d_by_lines(x: np.ndarray, weight: np.ndarray, padding: tuple[Pair, Pair]) -> np.ndarray:
    """Return conv2d(x, weight) at stride 1, for kernels of at least two lines; shapes and errors as there."""
    (top, bottom), (left, right) = padding
    n, height, width, channels = x.shape
    tall, broad, _, outputs = weight.shape
    rows, cols = window_count(height + top + bottom, tall, 1), window_count(width + left + right, broad, 1)
    padded = np.zeros((height + top + bottom, n, width + left + right, channels), dtype=x.dtype)
    padded[top : top + height, :, left : left + width] = np.swapaxes(x, 0, 1)
    windows = np.empty((padded.shape[0], n, cols, broad * channels), dtype=x.dtype)
    windows[...] = np.lib.stride_tricks.as_strided(padded, windows.shape, padded.strides)
    lines = windows.reshape(-1, broad * channels)
    line, size = n * cols, rows * n * cols
    kernel = weight.reshape(tall, broad * channels, outputs)
    blocks = (lines[a * line : a * line + size] for a in range(tall))
    total = next(blocks) @ kernel[0]
    for a, block in enumerate(blocks, start=1):
        total += block @ kernel[a]
    return np.ascontiguousarray(np.swapaxes(total.reshape(rows, n, cols, outputs), 0, 1))
