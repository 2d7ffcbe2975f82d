"""Activations and their slopes, number by number."""

from __future__ import annotations

from functools import cache, partial
from math import pi, sqrt
from typing import Any

import numpy as np

from equilib_numba.compiling import c_function
from equilib_numba.formulas import tanh
from equilib_numba.memory import call, row, words
from equilib_numba.scratch import plain
from equilib_numba.team import HEAD, bounds, run

_NAMES = ("tanh", "sigmoid", "relu", "gelu", "tanh_slope", "sigmoid_slope", "relu_slope", "gelu_slope")
_PULLS = ("tanh", "sigmoid", "relu")

_BLOCK = 1 << 14
"""Numbers of a share."""

# Hendrycks & Gimpel 2016, arXiv:1606.08415, §2
_SCALE, _CUBIC = sqrt(2 / pi), 0.044715


@cache
def _formulas(dtype: np.dtype) -> int:  # noqa: C901  a branch for each formula
    """Return the address of f(kind, x, y, out, count) that writes formula `kind`: of _NAMES, then of x φ'(y)."""
    like = dtype.type(0)
    half, one, scale, cubic, three = (dtype.type(each) for each in (0.5, 1, _SCALE, _SCALE * _CUBIC, 3))

    def line(kind: int, x_at: int, y_at: int, out_at: int, count: int) -> None:  # noqa: C901
        x, y, out = row(x_at, count, like), row(y_at, count, like), row(out_at, count, like)
        if kind == 0:
            for k in range(count):
                out[k] = tanh(x[k])
        elif kind == 1:
            for k in range(count):
                out[k] = half * (one + tanh(half * x[k]))
        elif kind == 2:
            for k in range(count):
                out[k] = like if x[k] < like else x[k]
        elif kind == 3:
            for k in range(count):
                out[k] = half * x[k] * (one + tanh(x[k] * (scale + cubic * (x[k] * x[k]))))
        elif kind == 4:
            for k in range(count):
                out[k] = one - x[k] * x[k]
        elif kind == 5:
            for k in range(count):
                out[k] = x[k] * (one - x[k])
        elif kind == 6:
            for k in range(count):
                out[k] = one if x[k] > like else like
        elif kind == 7:
            for k in range(count):
                square = x[k] * x[k]
                gate = tanh(x[k] * (scale + cubic * square))
                out[k] = half * ((one + gate) + x[k] * ((one - gate * gate) * (scale + three * cubic * square)))
        elif kind == 8:
            for k in range(count):
                out[k] = x[k] * (one - y[k] * y[k])
        elif kind == 9:
            for k in range(count):
                out[k] = x[k] * (y[k] * (one - y[k]))
        else:
            for k in range(count):
                out[k] = x[k] * (one if y[k] > like else like)

    return c_function(line, 5)


@cache
def _share(dtype: np.dtype) -> int:
    size = dtype.itemsize

    def share_of(given: int, share: int, place: int) -> None:
        formulas, kind, x, y, out, count = words(given + HEAD, 6)
        blocks = bounds(given, share)
        first, last = blocks[0] * _BLOCK, min(blocks[1] * _BLOCK, count)
        call(formulas, (kind, x + first * size, y + first * size, out + first * size, last - first))

    return c_function(share_of, 3)


def _call(kind: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y, out = plain(x), plain(y), np.empty(x.shape, x.dtype)
    run(_share(x.dtype), -(-x.size // _BLOCK), _formulas(x.dtype), kind, x, y, out, x.size)
    return out


def function(name: str) -> Any:
    """Return the activation or slope of a name as a function of an array."""
    return partial(_of_one, _NAMES.index(name))


def _of_one(kind: int, x: np.ndarray) -> np.ndarray:
    return _call(kind, x, x)


def times_slope(v: np.ndarray, y: np.ndarray, activation: str) -> np.ndarray:
    """Return v φ'(x) where y = φ(x), of arrays of one shape."""
    return _call(len(_NAMES) + _PULLS.index(activation), v, y)
