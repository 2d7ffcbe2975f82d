"""Convolutions and their transposes: what the operations ask for, in words of the compiled functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from equilib_numba import kernel_cotangent, pixels
from equilib_numba.elementwise import times_slope
from equilib_numba.lines import lay_lines
from equilib_numba.memory import BYTES
from equilib_numba.pixels import ACTIVATIONS, IDENTITY
from equilib_numba.product import multiply, multiply_transposed
from equilib_numba.scratch import plain, scratch
from equilib_numba.team import team
from equilib_numba.windows import windows
from equilib_numba.winograd import winograd

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]

_TILES = 48
"""Tiles of a block, at least: with 64 channels they take 0.4 MB, and the kernels 0.26."""

_STRIP = 1 << 18
"""Bytes of the lines of images of a block, about."""

_UNIT: Pair = (1, 1)
_WORD = np.dtype(np.int64)


@dataclass(frozen=True)
class Convolution:
    """φ(conv2d(slope(value) x, kernel) + before) + after, and the pixels of `out` that it is written to."""

    x: np.ndarray
    weight: np.ndarray
    out: np.ndarray
    stride: Pair
    corner: Pair  # rows and columns of zeros before the image
    size: Pair
    value: np.ndarray | None = None
    slope: str = "identity"
    before: np.ndarray | None = None
    after: np.ndarray | None = None
    activation: str = "identity"
    taps: tuple[int, int, int, int] = (0, 1, 0, 1)  # first line and step, first column and step of the kernel
    kernel: Pair = (3, 3)
    turned: bool = False  # the channels are exchanged
    placed: tuple[int, int, int, int] = (0, 1, 0, 1)

    @property
    def lanes(self) -> int:
        """The numbers of a register."""
        return BYTES // self.x.itemsize

    def rounded(self, channels: int) -> int:
        """Return the numbers of whole registers."""
        return -(-channels // self.lanes) * self.lanes

    def arguments(self) -> tuple[Any, ...]:
        """Return what all methods take: the stages they have in common, images, kernel and result."""
        dtype, nothing = self.x.dtype, self.x.reshape(-1)[:0]
        before, after = (nothing if each is None else plain(each).reshape(-1) for each in (self.before, self.after))
        stages = multiply(dtype), pixels.take_line(dtype), pixels.give_line(dtype), lay_lines(dtype)
        images = ACTIVATIONS[self.slope], self.x, self.x if self.value is None else self.value
        result = before, after, ACTIVATIONS[self.activation], self.out
        return stages, images, (self.weight, self.taps, self.turned), result

    def by(self, method: str) -> None:
        """Compute it by a method, "winograd" or "windows"."""
        (self.by_winograd if method == "winograd" else self.by_windows)()

    def by_winograd(self) -> None:
        """Compute it by Winograd's F(2×2, 3×3)."""
        threads, lanes, channels = team(), self.lanes, self.x.shape[3]
        wide, room, rooms = (self.out.shape[2] + 1) // 2, self.rounded(channels), self.rounded(self.out.shape[3])
        block = -(-_TILES // wide)
        own = 16 * channels * (rooms + lanes) + (2 * wide + 2) * 4 * room + 4 * wide * rooms + room
        own += 16 * (block * wide * (room + rooms) + 2 * lanes) + 9 * channels * rooms
        memory, ready = scratch("own", (threads.count, own), self.x.dtype), scratch("ready", (threads.count, 8), _WORD)
        winograd(threads.board, *self.arguments(), self.corner, block, memory, ready)

    def by_windows(self) -> None:
        """Compute it by products of the windows with the kernel."""
        threads, (height, width), channels = team(), self.kernel, self.x.shape[3]
        rooms = self.rounded(self.out.shape[3])
        own = height * ((self.size[1] - 1) * self.stride[1] + width) * channels + self.lanes
        own += (self.size[1] + height * width * channels) * rooms
        own += -own % self.lanes
        memory, ready = scratch("own", (threads.count, own), self.x.dtype), scratch("ready", (threads.count, 8), _WORD)
        windows(
            threads.board, *self.arguments(), self.stride, self.corner, height, width, self.size, self.placed, memory,
            ready,
        )  # fmt: skip


def conv2d_block(
    x: np.ndarray, weight: np.ndarray, before: Any, after: Any, activation: str, stride: Pair, padding: Padding,
    *, method: str,
) -> np.ndarray:  # fmt: skip
    """Return φ(conv2d(x, weight) + before) + after."""
    kernel = weight.shape[:2]
    rows, columns = (
        (length + sum(pads) - window) // step + 1
        for length, pads, window, step in zip(x.shape[1:3], padding, kernel, stride, strict=True)
    )
    out = np.empty((len(x), rows, columns, weight.shape[3]), x.dtype)
    corner = padding[0][0], padding[1][0]
    Convolution(
        plain(x), plain(weight), out, stride, corner, (rows, columns), before=before, after=after,
        activation=activation, kernel=kernel,
    ).by(method)  # fmt: skip
    return out


def conv2d(x: np.ndarray, weight: np.ndarray, stride: Pair, padding: Padding, *, method: str) -> np.ndarray:
    """Return conv2d(x, weight)."""
    return conv2d_block(x, weight, None, None, "identity", stride, padding, method=method)


def conv2d_block_pull(
    g: np.ndarray, weight: np.ndarray, y: np.ndarray | None, activation: str, shape: tuple[int, ...], stride: Pair,
    padding: Padding, *, method: str,
) -> np.ndarray:  # fmt: skip
    """Return conv2d_input_transpose(φ'(y) g, weight, shape): a convolution with each remainder of the kernel."""
    kernel = weight.shape[:2]
    dense = all(window >= step for window, step in zip(kernel, stride, strict=True))
    out = (np.empty if dense else np.zeros)(shape, g.dtype)
    g, weight, value = plain(g), plain(weight), None if y is None else plain(y)
    axes = [list(_remainders(*each)) for each in zip(shape[1:3], kernel, stride, padding, strict=True)]
    for down, across in product(*axes):
        Convolution(
            g, weight, out, _UNIT, (down.corner, across.corner), (down.size, across.size), value, activation,
            taps=(*down.taps, *across.taps), kernel=(down.kernel, across.kernel), turned=True,
            placed=(down.pixel, stride[0], across.pixel, stride[1]),
        ).by(method)  # fmt: skip
    return out


def conv2d_input_transpose(
    g: np.ndarray, weight: np.ndarray, shape: tuple[int, ...], stride: Pair, padding: Padding, *, method: str
) -> np.ndarray:
    """Return conv2d_input_transpose(g, weight, shape)."""
    return conv2d_block_pull(g, weight, None, "identity", shape, stride, padding, method=method)


@dataclass(frozen=True)
class _Remainder:
    """The pixels of one remainder modulo the stride along an axis: they meet every stride-th line of the kernel."""

    pixel: int
    size: int
    kernel: int
    taps: Pair
    corner: int


def _remainders(length: int, kernel: int, stride: int, padding: Pair) -> Iterator[_Remainder]:
    for start in range(min(stride, kernel)):
        pixel = (start - padding[0]) % stride
        size, lines = len(range(pixel, length, stride)), len(range(start, kernel, stride))
        if size:
            # Padded pixel stride · i + start is the sum over a of result i − a times line stride · a + start.
            first = (pixel + padding[0]) // stride
            yield _Remainder(pixel, size, lines, (start + (lines - 1) * stride, -stride), lines - 1 - first)


def kernel_by_windows(
    x: np.ndarray, g: np.ndarray, y: np.ndarray | None, activation: str, kernel: Pair, stride: Pair, padding: Padding
) -> np.ndarray:
    """Return conv2d_weight_transpose(x, φ'(y) g, kernel)."""
    x, g, value, out, asked = _kernel_arguments(x, g, y, kernel)
    channels, terms = x.shape[3], kernel[1] * x.shape[3]
    line = ((g.shape[2] - 1) * stride[1] + kernel[1]) * channels
    block = min(max(1, _STRIP // (line * stride[0] * x.itemsize)), g.shape[1])
    threads = team()
    own = ((block - 1) * stride[0] + kernel[0]) * line + asked.lanes + block * g.shape[2] * asked.rounded(out.shape[3])
    memory = scratch("own", (threads.count, own + -own % asked.lanes), x.dtype)
    sums = scratch("sums", (threads.parts(len(g) * g.shape[1]), kernel[0], terms, asked.rounded(out.shape[3])), x.dtype)
    stages = multiply_transposed(x.dtype), pixels.take_line(x.dtype), IDENTITY, lay_lines(x.dtype)
    corner = padding[0][0], padding[1][0]
    kernel_cotangent.sum_windows(
        threads.board, stages, ACTIVATIONS[activation], x, g, value, stride, corner, block, sums, out, memory
    )
    return out


def kernel_by_winograd(
    x: np.ndarray, g: np.ndarray, y: np.ndarray | None, activation: str, kernel: Pair, stride: Pair, padding: Padding
) -> np.ndarray:
    """Return conv2d_weight_transpose(x, φ'(y) g, (3, 3)) for stride 1."""
    x, g, value, out, asked = _kernel_arguments(x, g, y, kernel)
    threads, lanes = team(), asked.lanes
    wide, down = ((each + 1) // 2 for each in (g.shape[2], g.shape[1]))
    room, rooms = asked.rounded(x.shape[3]), asked.rounded(g.shape[3])
    block = -(-_TILES // wide)
    own = (2 * wide + 2) * 4 * room + 4 * wide * rooms + 16 * (block * wide * (room + rooms) + 2 * lanes)
    memory = scratch("own", (threads.count, max(own + -own % lanes, 9 * rooms)), x.dtype)
    sums = scratch("sums", (threads.parts(len(x) * down), 16, x.shape[3], rooms), x.dtype)
    stages = multiply_transposed(x.dtype), pixels.take_line(x.dtype), IDENTITY, lay_lines(x.dtype)
    corner = padding[0][0], padding[1][0]
    clean = kernel_cotangent.sum_tiles(
        threads.board, stages, ACTIVATIONS[activation], x, g, value, corner, block, sums, out, memory
    )
    return out if clean else kernel_by_windows(x, g, y, activation, kernel, stride, padding)


def _kernel_arguments(
    x: np.ndarray, g: np.ndarray, y: np.ndarray | None, kernel: Pair
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Convolution]:
    x, g = plain(x), plain(g)
    out = np.empty((*kernel, x.shape[3], g.shape[3]), x.dtype)
    return x, g, g if y is None else plain(y), out, Convolution(x, out, out, _UNIT, _UNIT, _UNIT)


def conv2d_block_weight(
    x: np.ndarray, g: np.ndarray, y: np.ndarray | None, activation: str, kernel: Pair, stride: Pair, padding: Padding,
    *, method: str,
) -> np.ndarray:  # fmt: skip
    """Return conv2d_weight_transpose(x, φ'(y) g, kernel)."""
    if method == "winograd":
        return kernel_by_winograd(x, g, y, activation, kernel, stride, padding)
    return kernel_by_windows(x, g, y, activation, kernel, stride, padding)


def conv2d_weight_transpose(
    x: np.ndarray, g: np.ndarray, kernel: Pair, stride: Pair, padding: Padding, *, method: str
) -> np.ndarray:
    """Return conv2d_weight_transpose(x, g, kernel)."""
    return conv2d_block_weight(x, g, None, "identity", kernel, stride, padding, method=method)


def conv2d_block_push(
    v: np.ndarray, weight: np.ndarray, y: np.ndarray, activation: str, stride: Pair, padding: Padding, *, method: str
) -> np.ndarray:
    """Return φ'(y) conv2d(v, weight)."""
    return times_slope(conv2d(v, weight, stride, padding, method=method), y, activation)
