"""Twins of the kernels in CUDA C, in NumPy, for the emulator: they write into the arrays that they are given.

Addresses that are passed by value are read as arrays of the emulator's memory.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import special

from tests.cupy_emulator.kernels import twin

_REAL = {4: ctypes.c_float, 8: ctypes.c_double}


def at(address: Any, size: int, dtype: np.dtype) -> np.ndarray:
    """Return the numbers at an address."""
    kind = _REAL[dtype.itemsize]
    return np.ctypeslib.as_array((kind * int(size)).from_address(int(address)))


def rows(table: np.ndarray, count: int, shape: tuple[int, ...], dtype: np.dtype) -> list[np.ndarray]:
    """Return the first arrays of a table, all of one shape."""
    return [at(address, np.prod(shape), dtype).reshape(shape) for address in table[: int(count)]]


def norm(x: np.ndarray) -> np.ndarray:
    """Return the norms of rows, whose squares stay in range."""
    wide = np.asarray(x, np.float64)
    largest = np.fmax.reduce(np.abs(wide), axis=1, initial=0.0)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0) if x.itemsize == 8 else np.ones(len(x))
    shares = wide / scale[:, None]
    return np.sqrt(np.vecdot(shares, shares)) * scale


@twin("equilib_norms")
def norms(matrices: np.ndarray, out: np.ndarray, batch: int, size: int, mean: int) -> None:
    """Write the norms of the rows of matrices."""
    for number, x in enumerate(rows(matrices, len(out), (batch, size), out.dtype)):
        out[number] = norm(x) / (np.sqrt(float(size)) if mean else 1)


@twin("equilib_squares")
def squares(arrays: np.ndarray, sizes: np.ndarray, out: np.ndarray) -> None:
    """Write the sums of squares of arrays."""
    for number in range(min(len(out), len(arrays))):
        x = at(arrays[number], sizes[number], out.dtype).astype(np.float64)
        out[number] = x @ x


@twin("equilib_adam")
def adam(leaves: np.ndarray, constants: np.ndarray) -> None:
    """Write parameters and moments."""
    rate, beta1, beta2, rest1, rest2, bias1, bias2, epsilon = constants
    *columns, sizes, decays = leaves.reshape(9, -1)
    for *addresses, size, decay in zip(*columns, sizes, decays.view(np.float64), strict=True):
        if size:
            p, g, mean, square, new_p, new_mean, new_square = (at(each, size, constants.dtype) for each in addresses)
            new_mean[...] = beta1 * mean + rest1 * g
            new_square[...] = beta2 * square + rest2 * (g * g)
            change = (new_mean / bias1) / (np.sqrt(new_square / bias2) + epsilon)
            new_p[...] = p - rate * (change + constants.dtype.type(decay) * p if decay else change)


@twin("equilib_combine")
def combine(
    base: Any, arrays: np.ndarray, given: np.ndarray, weights: Any, out: np.ndarray, count: int, samples: int,
    size: int, total: int,
) -> None:  # fmt: skip
    """Write base + Σ wᵢ aᵢ."""
    factors = (weights if isinstance(weights, np.ndarray) else given[: samples * count]).reshape(samples, count)
    sum_ = base.reshape(-1, size) if isinstance(base, np.ndarray) else None
    for number, a in enumerate(rows(arrays, count, (total // size, size), out.dtype)):
        term = factors[:, number, None] * a
        sum_ = term if sum_ is None else sum_ + term
    out[...] = sum_.reshape(out.shape)


@twin("equilib_overlap")
def overlap(arrays: np.ndarray, x: np.ndarray, out: np.ndarray, count: int, size: int) -> None:
    """Write the inner products of each sample of arrays with x."""
    x = x.reshape(-1, size).astype(np.float64)
    for number, a in enumerate(rows(arrays, count, x.shape, out.dtype)):
        out[:, number] = np.vecdot(a.astype(np.float64), x)


@twin("equilib_orthogonalize")
def orthogonalize(
    basis: np.ndarray, x: np.ndarray, rest: np.ndarray, column: np.ndarray, count: int, size: int
) -> None:
    """Write the components of x along a basis, the norm of the rest, and the rest."""
    w = x.reshape(-1, size)
    for number, v in enumerate(rows(basis, count, w.shape, x.dtype)):
        column[:, number] = np.vecdot(v.astype(np.float64), w.astype(np.float64))
        w = w - column[:, number, None] * v
    column[:, -1] = norm(w)
    rest[...] = w.reshape(rest.shape)


@twin("equilib_sum_rows")
def sum_rows(x: np.ndarray, out: np.ndarray, count: int, columns: int, per: int) -> None:
    """Write the sums of `per` rows each."""
    for part in range(out.shape[1]):
        out[:, part] = x[:, part * per : (part + 1) * per].sum(axis=1, dtype=np.float64)


@twin("equilib_group_norm")
def group_norm(
    x: np.ndarray, scale: Any, shift: Any, out: np.ndarray, means: np.ndarray, inverses: np.ndarray, positions: int,
    channels: int, wide: int, epsilon: float,
) -> None:  # fmt: skip
    """Write normalized features, and the mean and 1/√(σ² + ε) of each group."""
    split = x.reshape(len(x), positions, -1, wide)
    means[...] = split.mean(axis=(1, 3), dtype=np.float64)
    inverses[...] = 1 / np.sqrt(
        np.square(split - means[:, None, :, None], dtype=np.float64).mean(axis=(1, 3)) + epsilon
    )
    value = normal(x, means, inverses, wide)
    value = value * scale if isinstance(scale, np.ndarray) else value
    out[...] = (value + shift if isinstance(shift, np.ndarray) else value).reshape(x.shape)


def normal(x: np.ndarray, means: np.ndarray, inverses: np.ndarray, wide: int) -> np.ndarray:
    """Return (x − μ) / √(σ² + ε), shape (sample, position, channel)."""
    own = (np.repeat(each, wide, axis=1)[:, None] for each in (means, inverses))
    mean, inverse = own
    return (x.reshape(len(x), -1, x.shape[-1]) - mean) * inverse


@twin("equilib_group_norm_derive")
def group_norm_derive(
    v: np.ndarray, x: np.ndarray, scale: Any, means: np.ndarray, inverses: np.ndarray, d_scale: Any, d_shift: Any,
    out: np.ndarray, positions: int, channels: int, wide: int, back: int,
) -> None:  # fmt: skip
    """Write the derivative, or its transpose."""
    unit = normal(x, means, inverses, wide)
    given = v.reshape(unit.shape)
    given = given * scale if back and isinstance(scale, np.ndarray) else given

    def average(values: np.ndarray) -> np.ndarray:
        split = values.reshape(len(x), positions, -1, wide)
        return np.repeat(split.mean(axis=(1, 3), dtype=np.float64).astype(x.dtype), wide, axis=1)[:, None]

    moved = given - average(given) - unit * average(unit * given)
    moved = moved * np.repeat(inverses, wide, axis=1)[:, None]
    moved = moved * scale if not back and isinstance(scale, np.ndarray) else moved
    moved = moved + unit * d_scale if isinstance(d_scale, np.ndarray) else moved
    out[...] = (moved + d_shift if isinstance(d_shift, np.ndarray) else moved).reshape(x.shape)


@twin("equilib_group_norm_sums")
def group_norm_sums(
    g: np.ndarray, x: np.ndarray, means: np.ndarray, inverses: np.ndarray, out: np.ndarray, count: int, positions: int,
    channels: int, wide: int, per: int,
) -> None:  # fmt: skip
    """Write the sums over `per` rows each of g (x − μ) / √(σ² + ε) and of g, for each channel."""
    along = (g.reshape(len(x), -1, channels) * normal(x, means, inverses, wide)).reshape(-1, channels)
    g = g.reshape(-1, channels)
    for part in range(out.shape[1]):
        these = slice(part * per, (part + 1) * per)
        sums = [each[these].sum(axis=0, dtype=np.float64) for each in (along, g)]
        out[0, part] = np.concatenate(sums)


def activate(kind: int, x: np.ndarray) -> np.ndarray:
    """Return φ(x)."""
    functions = {0: lambda: x, 1: lambda: np.tanh(x), 2: lambda: special.expit(x)}
    more = {3: lambda: np.maximum(x, 0), 4: lambda: gelu(x), 5: lambda: gelu_slope(x)}
    return (functions | more)[int(kind)]()


def sloped(kind: int, x: Any, y: Any) -> Any:
    """Return x φ′ where the value of φ is y."""
    slopes = {1: lambda: 1 - y * y, 2: lambda: (1 - y) * y, 3: lambda: (y > 0).astype(y.dtype)}
    return x * slopes[int(kind)]() if kind else x


def gelu(x: np.ndarray) -> np.ndarray:
    """Return gelu(x)."""
    scale, near = np.sqrt(2 / np.pi), np.clip(x, -20, 20)
    return (np.tanh(near * (near * near * (scale * 0.044715) + scale)) + 1) * 0.5 * x


def gelu_slope(x: np.ndarray) -> np.ndarray:
    """Return the slope of gelu."""
    x = np.clip(x, -20, 20)
    scale, square = np.sqrt(2 / np.pi), x * x
    gate = np.tanh((square * (scale * 0.044715) + scale) * x)
    return ((square * (3 * scale * 0.044715) + scale) * (1 - gate * gate) * x + (gate + 1)) * 0.5


@twin("equilib_activate")
def activate_all(x: np.ndarray, out: np.ndarray, kind: int, size: int) -> None:
    """Write φ(x)."""
    out[...] = activate(kind, x).reshape(out.shape)


@twin("equilib_times_slope")
def times_slope(v: Any, y: np.ndarray, out: np.ndarray, kind: int, size: int) -> None:
    """Write v φ′."""
    out[...] = sloped(kind, v.reshape(y.shape) if isinstance(v, np.ndarray) else 1, y).reshape(out.shape)


class Geometry:
    """The sizes of a convolution, and the pixels of padded images that meet line (a, b) of the kernel."""

    def __init__(self, numbers: np.ndarray) -> None:
        batch, self.height, self.width, channels, self.rows, self.columns, outputs, *rest = map(int, numbers)
        self.down, self.across, self.stride_down, self.stride_across, self.top, self.left = rest
        self.images = batch, self.height, self.width, channels
        self.results = batch, self.rows, self.columns, outputs
        self.kernel = self.down, self.across, channels, outputs
        bottom = max(0, (self.rows - 1) * self.stride_down + self.down - self.top - self.height)
        right = max(0, (self.columns - 1) * self.stride_across + self.across - self.left - self.width)
        self.widths = (0, 0), (self.top, bottom), (self.left, right), (0, 0)

    def lines(self) -> Iterator[tuple[int, int, tuple[slice, ...]]]:
        """Yield a, b, and where the pixels are."""
        for a in range(self.down):
            for b in range(self.across):
                down = slice(a, a + (self.rows - 1) * self.stride_down + 1, self.stride_down)
                across = slice(b, b + (self.columns - 1) * self.stride_across + 1, self.stride_across)
                yield a, b, (slice(None), down, across)


@twin("equilib_convolve")
def convolve(
    x: np.ndarray, weight: np.ndarray, before: Any, before_full: int, after: Any, after_full: int, y: Any, kind: int,
    out: np.ndarray, numbers: np.ndarray,
) -> None:  # fmt: skip
    """Write φ(conv2d(x, weight) + before) + after, or φ′ conv2d(x, weight)."""
    geometry = Geometry(numbers)
    padded = np.pad(x, geometry.widths)
    value = sum(padded[pixels] @ weight[a, b] for a, b, pixels in geometry.lines())
    value = value + before if isinstance(before, np.ndarray) else value
    value = sloped(kind, value, y) if isinstance(y, np.ndarray) else activate(kind, value)
    out[...] = value + after if isinstance(after, np.ndarray) else value


@twin("equilib_convolve_back")
def convolve_back(g: np.ndarray, weight: np.ndarray, y: Any, kind: int, out: np.ndarray, numbers: np.ndarray) -> None:
    """Write the transpose of φ′ g for the images."""
    geometry = Geometry(numbers)
    padded = np.pad(np.zeros(geometry.images, out.dtype), geometry.widths)
    down, across = geometry.stride_down, geometry.stride_across
    cotangent = sloped(kind, g, y) if isinstance(y, np.ndarray) else g
    for a, b, pixels in geometry.lines():
        padded[pixels] += cotangent @ weight[a, b].T
        # Around the results are zeros, which meet a line as well: 0 times nan is nan.
        outside = np.zeros(padded.shape[:3], bool)
        outside[:, a % down :: down, b % across :: across] = 1
        outside[pixels] = 0
        padded[outside] += 0 * weight[a, b].sum(axis=1)
    top, left = geometry.top, geometry.left
    out[...] = padded[:, top : top + geometry.height, left : left + geometry.width]


@twin("equilib_convolve_weight")
def convolve_weight(
    x: np.ndarray, g: np.ndarray, y: Any, kind: int, out: np.ndarray, terms: int, numbers: np.ndarray
) -> None:
    """Write the transpose of φ′ g for the weights, in parts of so many results."""
    geometry = Geometry(numbers)
    channels, outputs = geometry.kernel[2:]
    padded = np.pad(x, geometry.widths)
    cotangent = (sloped(kind, g, y) if isinstance(y, np.ndarray) else g).reshape(-1, outputs)
    lines = out.reshape(len(out), geometry.down, geometry.across, channels, outputs)
    for a, b, pixels in geometry.lines():
        left = padded[pixels].reshape(-1, channels)
        for part in range(len(out)):
            these = slice(part * int(terms), (part + 1) * int(terms))
            lines[part, a, b] = left[these].T @ cotangent[these]
