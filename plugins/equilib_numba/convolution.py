"""Convolutions and their transposes: what the operations ask for, in words of the compiled functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, product
from typing import Any

import numpy as np

from equilib_numba.addresses import address
from equilib_numba.elementwise import times_slope
from equilib_numba.records import ACTIVATIONS, COTANGENTS, METHOD, WORD
from equilib_numba.registers import BYTES
from equilib_numba.scratch import plain, scratch
from equilib_numba.team import place_of, run, team

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]

_TILES = 48
"""Tiles of a block, at least: with 64 channels they take 0.4 MB, and the kernels 0.26."""

_STRIP = 1 << 18
"""Bytes of the lines of images of a block, about."""

_UNIT: Pair = (1, 1)
_WORD = np.dtype(np.int64)
_STAGES = "product.multiply", "pixels.take_line", "pixels.give_line", "lines.lay_image", "lines.lay_kernel"
_turns = count(1)
"""Numbers of calls: what a place has laid out is good for one."""


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

    def records(self) -> list[int | np.ndarray | None]:
        """Return the records that all methods take."""
        (columns, inputs, outputs), whole = self.weight.shape[1:], self.kernel == self.weight.shape[:2]
        weight = place_of(self.weight)
        laid = weight if whole and not self.turned and self.rounded(outputs) == outputs else 0
        return [
            *stages(self.x.dtype),
            *images(self.slope, self.x, self.value),
            *(weight, columns, inputs, outputs, *self.taps, *self.kernel, int(self.turned), laid),
            *(*self._term(self.before), *self._term(self.after), ACTIVATIONS[self.activation]),
            *(self.out, *self.out.shape[1:]),
        ]

    def _term(self, term: np.ndarray | None) -> tuple[np.ndarray | None, int]:
        if term is None:
            return None, -1
        return plain(term), 0 if term.ndim == 1 else self.out.strides[2]

    def by(self, method: str) -> None:
        """Compute it by a method, "winograd" or "windows"."""
        (self.by_winograd if method == "winograd" else self.by_windows)()

    def by_winograd(self) -> None:
        """Compute it by Winograd's F(2×2, 3×3)."""
        threads, lanes, channels, dtype = team(), self.lanes, self.x.shape[3], self.x.dtype
        wide, down = (self.out.shape[2] + 1) // 2, (self.out.shape[1] + 1) // 2
        room, rooms, block = self.rounded(channels), self.rounded(self.out.shape[3]), -(-_TILES // wide)
        own = 16 * channels * (rooms + lanes) + (2 * wide + 2) * 4 * room + 4 * wide * rooms + room
        own += 16 * (block * wide * (room + rooms) + 2 * lanes) + 9 * channels * rooms
        memory, ready = scratch("own", (threads.count, own), dtype), scratch("ready", (threads.count, 8), _WORD)
        method = *self.corner, block, memory, own, ready, next(_turns), address("winograd.give_tiles", dtype)
        run("winograd.winograd", dtype, -(-len(self.x) * down // block), *self.records(), *method, most=4096)

    def by_windows(self) -> None:
        """Compute it by products of the windows with the kernel."""
        threads, (height, width), dtype = team(), self.kernel, self.x.dtype
        terms = self.weight.shape[3] if self.turned else self.weight.shape[2]
        own = height * ((self.size[1] - 1) * self.stride[1] + width) * terms + self.lanes
        own += (self.size[1] + height * width * terms) * self.rounded(self.out.shape[3])
        own += -own % self.lanes
        memory, ready = scratch("own", (threads.count, own), dtype), scratch("ready", (threads.count, 8), _WORD)
        method = *self.stride, *self.corner, *self.size, *self.placed, memory, own, ready, next(_turns)
        run("windows.windows", dtype, len(self.x) * self.size[0], *self.records(), *method, most=512)


def stages(dtype: np.dtype) -> tuple[int, ...]:
    """Return the addresses of the functions that all methods have in common."""
    return tuple(address(each, dtype) for each in _STAGES)


def images(slope: str, x: np.ndarray, value: np.ndarray | None) -> tuple[Any, ...]:
    """Return the record of what is convolved."""
    # The arrays themselves, so that copies live as long as their record.
    return ACTIVATIONS[slope], x, place_of(x) if value is None else value, *x.shape


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
    records, out, rooms = _kernel_records(x, g, y, activation, kernel)
    threads, dtype, lanes, (_, rows, columns, outputs) = team(), out.dtype, BYTES // x.itemsize, g.shape
    terms = kernel[1] * x.shape[3]
    line = ((columns - 1) * stride[1] + kernel[1]) * x.shape[3]
    block = min(max(1, _STRIP // (line * stride[0] * x.itemsize)), rows)
    own = ((block - 1) * stride[0] + kernel[0]) * line + lanes + block * columns * rooms
    own += -own % lanes
    memory, parts = scratch("own", (threads.count, own), dtype), threads.parts(len(g) * rows)
    sums = scratch("sums", (parts, kernel[0], terms, rooms), dtype)
    method = *stride, padding[0][0], padding[1][0], *kernel, block, sums, memory, own
    run("kernel_cotangent.sum_windows", dtype, len(g) * rows, *records, *method, most=parts)
    run("kernel_cotangent.add_sums", dtype, kernel[0] * terms, sums, parts, rooms, out, outputs, most=64)
    return out


def kernel_by_winograd(
    x: np.ndarray, g: np.ndarray, y: np.ndarray | None, activation: str, kernel: Pair, stride: Pair, padding: Padding
) -> np.ndarray:
    """Return conv2d_weight_transpose(x, φ'(y) g, (3, 3)) for stride 1."""
    records, out, rooms = _kernel_records(x, g, y, activation, kernel)
    threads, dtype, lanes, channels = team(), out.dtype, BYTES // x.itemsize, x.shape[3]
    wide, down, room = (g.shape[2] + 1) // 2, (g.shape[1] + 1) // 2, -(-channels // lanes) * lanes
    block = -(-_TILES // wide)
    own = (2 * wide + 2) * 4 * room + 4 * wide * rooms + 16 * (block * wide * (room + rooms) + 2 * lanes)
    own = max(own, 9 * rooms)
    memory, parts = scratch("own", (threads.count, own), dtype), threads.parts(len(x) * down)
    sums = scratch("sums", (parts, 16, channels, rooms), dtype)
    method = padding[0][0], padding[1][0], block, sums, memory, own
    run("kernel_cotangent.sum_tiles", dtype, len(x) * down, *records, *method, most=parts)
    run("kernel_cotangent.add_tiles", dtype, channels, sums, parts, rooms, out, g.shape[3], memory, own, most=64)
    # Where it is not finite, some of it may be that should not be.
    return out if np.isfinite(out).all() else kernel_by_windows(x, g, y, activation, kernel, stride, padding)


def _kernel_records(
    x: np.ndarray, g: np.ndarray, y: np.ndarray | None, activation: str, kernel: Pair
) -> tuple[list[Any], np.ndarray, int]:
    """Return the records of x and of a cotangent, the result, and the numbers of a row of the sums."""
    x, g, lanes = plain(x), plain(g), BYTES // x.itemsize
    records = [*stages(x.dtype), *images("identity", x, None)]
    records += images(activation, g, None if y is None else plain(y))
    records += [0] * ((METHOD - COTANGENTS) // WORD - 7)
    return records, np.empty((*kernel, x.shape[3], g.shape[3]), x.dtype), -(-g.shape[3] // lanes) * lanes


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
