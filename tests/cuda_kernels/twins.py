"""Twins of the kernels in CUDA C, in NumPy, for the emulator: they write into the arrays that they are given.

Addresses that are passed by value are read as arrays of the emulator's memory.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

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
