"""Activations and their slopes, number by number."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np

from equilib_numba.code.formulas import sigmoid, tanh
from equilib_numba.code.memory import call, row, words
from equilib_numba.code.team import bounds
from equilib_numba.elementwise import BLOCK
from equilib_numba.records import HEAD

# Hendrycks & Gimpel 2016, arXiv:1606.08415, §2
_SCALE, _CUBIC = sqrt(2 / pi), 0.044715
_FLAT = 20.0
"""From here on the gate of gelu is 0 or 1, and further on the square is out of range."""


def formulas(dtype: np.dtype) -> Any:  # noqa: C901  a branch for each formula
    """Return f(kind, x, y, out, count) that writes formula `kind`: of NAMES, then x φ'(y) of PULLS."""
    like = dtype.type(0)
    half, one, scale, cubic, three = (dtype.type(each) for each in (0.5, 1, _SCALE, _SCALE * _CUBIC, 3))
    flat = dtype.type(_FLAT)

    def line(kind: int, x_at: int, y_at: int, out_at: int, count: int) -> None:  # noqa: C901
        x, y, out = row(x_at, count, like), row(y_at, count, like), row(out_at, count, like)
        if kind == 0:
            for k in range(count):
                out[k] = tanh(x[k])
        elif kind == 1:
            for k in range(count):
                out[k] = sigmoid(x[k])
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
                near = flat if x[k] > flat else -flat if x[k] < -flat else x[k]
                square = near * near
                gate = tanh(near * (scale + cubic * square))
                out[k] = half * ((one + gate) + near * ((one - gate * gate) * (scale + three * cubic * square)))
        elif kind == 8:
            for k in range(count):
                out[k] = x[k] * (one - y[k] * y[k])
        elif kind == 9:
            for k in range(count):
                out[k] = x[k] * (y[k] * (one - y[k]))
        else:
            for k in range(count):
                out[k] = x[k] * (one if y[k] > like else like)

    return line


def block(dtype: np.dtype) -> Any:
    """Return the function of shares of blocks, which knows the address of the formulas."""
    size = dtype.itemsize

    def share_of(given: int, share: int, place: int) -> None:
        formulas, kind, x, y, out, count = words(given + HEAD, 6)
        blocks = bounds(given, share)
        first, last = blocks[0] * BLOCK, min(blocks[1] * BLOCK, count)
        call(formulas, (kind, x + first * size, y + first * size, out + first * size, last - first))

    return share_of
