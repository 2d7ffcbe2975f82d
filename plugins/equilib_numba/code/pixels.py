"""Lines of pixels on their way into a product of matrices and out of it, with what is fused there.

On the way in, a cotangent is multiplied by an activation's slope; on the way out `before` is added, the activation
applied, and `after` added. All of it happens in the cache of a core.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib_numba.code.compiling import compiled, summing
from equilib_numba.code.formulas import sigmoid, tanh
from equilib_numba.code.memory import number, row
from equilib_numba.records import RELU, SIGMOID, TANH


@summing
def finite(like: Any, place: int, count: int) -> bool:
    """Tell whether no number is NaN or infinite."""
    numbers, zero = row(place, count, like), number(0, like)
    total = zero
    for k in range(count):
        total += numbers[k] * zero
    return total == zero


@compiled
def _take(like: Any, activation: int, source: int, value: int, target: int, count: int) -> None:
    """Copy numbers, times φ'(a) where φ(a) is the number at `value`."""
    x, y, out = row(source, count, like), row(value, count, like), row(target, count, like)
    one, zero = number(1, like), number(0, like)
    if activation == TANH:
        for k in range(count):
            out[k] = x[k] * (one - y[k] * y[k])
    elif activation == SIGMOID:
        for k in range(count):
            out[k] = x[k] * (y[k] * (one - y[k]))
    elif activation == RELU:
        for k in range(count):
            out[k] = x[k] * (one if y[k] > zero else zero)
    else:
        for k in range(count):
            out[k] = x[k]


def take_line(dtype: np.dtype) -> Any:
    """Return f(activation, source, value, target, pixels, channels, room).

    It copies a line of pixels, times φ'(a) where φ(a) are the numbers at `value`; in the target the channels of a
    pixel take up room for `room` numbers.
    """
    like, size = dtype.type(0), dtype.itemsize

    def line(activation: int, source: int, value: int, target: int, pixels: int, channels: int, room: int) -> None:
        if room == channels:
            pixels, channels = 1, pixels * channels
        for k in range(pixels):
            by = k * channels * size
            _take(like, activation, source + by, value + by, target + k * room * size, channels)

    return line


@compiled
def _add(like: Any, place: int, terms: int, count: int) -> None:
    """Add numbers to those at `place`."""
    out, term = row(place, count, like), row(terms, count, like)
    for k in range(count):
        out[k] += term[k]


@compiled
def _activate(like: Any, activation: int, source: int, target: int, count: int) -> None:
    """Write φ of numbers."""
    x, out = row(source, count, like), row(target, count, like)
    zero = number(0, like)
    if activation == TANH:
        for k in range(count):
            out[k] = tanh(x[k])
    elif activation == SIGMOID:
        for k in range(count):
            out[k] = sigmoid(x[k])
    elif activation == RELU:
        for k in range(count):
            out[k] = zero if x[k] < zero else x[k]
    else:
        for k in range(count):
            out[k] = x[k]


def give_line(dtype: np.dtype) -> Any:
    """Return f(activation, source, before, step, after, step, target, pixels, channels, room).

    It writes φ(numbers + before) + after for a line of pixels, and changes the numbers, of which each pixel has `room`.
    A step is in bytes from one pixel's numbers to the next, or −1 where there is no such term.
    """
    like, size = dtype.type(0), dtype.itemsize

    def line(
        activation: int, source: int, before: int, before_step: int, after: int, after_step: int, target: int,
        pixels: int, channels: int, room: int,
    ) -> None:  # fmt: skip
        length, dense = channels * size, room == channels
        if before_step >= 0:
            all_at_once = dense and before_step == length
            for k in range(1 if all_at_once else pixels):
                term = before + k * before_step
                _add(like, source + k * room * size, term, pixels * channels if all_at_once else channels)
        if dense and after_step in (-1, length):
            pixels, channels = 1, pixels * channels
        for k in range(pixels):
            to = target + k * length
            _activate(like, activation, source + k * room * size, to, channels)
            if after_step >= 0:
                _add(like, to, after + k * after_step, channels)

    return line
