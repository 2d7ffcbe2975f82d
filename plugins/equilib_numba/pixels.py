"""Lines of pixels on their way into a product of matrices and out of it, with what is fused there.

On the way in, a cotangent is multiplied by an activation's slope; on the way out `before` is added, the activation
applied, and `after` added. All of it happens in the cache of a core.
"""

from __future__ import annotations

from typing import Any


from equilib_numba.compiling import compiled
from equilib_numba.formulas import tanh
from equilib_numba.memory import number, row, size_of

ACTIVATIONS = {"identity": 0, "tanh": 1, "sigmoid": 2, "relu": 3}
"""The activations that can be fused, and their numbers in compiled code."""

IDENTITY, TANH, SIGMOID, RELU = ACTIVATIONS.values()


@compiled
def take(like: Any, activation: int, source: int, value: int, target: int, count: int) -> None:
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


@compiled
def take_line(
    like: Any, activation: int, source: int, value: int, target: int, pixels: int, channels: int, room: int
) -> None:
    """Do so with a line of pixels, whose channels take up room for `room` numbers in the target."""
    size = size_of(like)
    if room == channels:
        take(like, activation, source, value, target, pixels * channels)
    else:
        for k in range(pixels):
            by = k * channels * size
            take(like, activation, source + by, value + by, target + k * room * size, channels)


@compiled
def finite(like: Any, place: int, count: int) -> bool:
    """Tell whether no number is NaN or infinite."""
    numbers, zero = row(place, count, like), number(0, like)
    total = zero
    for k in range(count):
        total += numbers[k] * zero
    return total == zero


@compiled
def add(like: Any, place: int, terms: int, count: int) -> None:
    """Add numbers to those at `place`."""
    out, term = row(place, count, like), row(terms, count, like)
    for k in range(count):
        out[k] += term[k]


@compiled
def activate(like: Any, activation: int, source: int, target: int, count: int) -> None:
    """Write φ of numbers."""
    x, out = row(source, count, like), row(target, count, like)
    half, one, zero = number(0.5, like), number(1, like), number(0, like)
    if activation == TANH:
        for k in range(count):
            out[k] = tanh(x[k])
    elif activation == SIGMOID:
        for k in range(count):
            out[k] = half * (one + tanh(half * x[k]))
    elif activation == RELU:
        for k in range(count):
            out[k] = zero if x[k] < zero else x[k]
    else:
        for k in range(count):
            out[k] = x[k]


@compiled
def give(
    like: Any, activation: int, source: int, before: int, before_step: int, after: int, after_step: int, target: int,
    count: int,
) -> None:  # fmt: skip
    """Write φ(numbers + before) + after, and change the numbers; a step of −1 says that there is no such term."""
    if before_step >= 0:
        add(like, source, before, count)
    activate(like, activation, source, target, count)
    if after_step >= 0:
        add(like, target, after, count)


@compiled
def give_line(
    like: Any, activation: int, source: int, before: int, before_step: int, after: int, after_step: int, target: int,
    pixels: int, channels: int, room: int,
) -> None:  # fmt: skip
    """Do so with a line of pixels; a step is in bytes from one pixel to the next."""
    size = size_of(like)
    line = channels * size
    if room == channels and before_step in (-1, line) and after_step in (-1, line):
        give(like, activation, source, before, before_step, after, after_step, target, pixels * channels)
        return
    for k in range(pixels):
        give(
            like, activation, source + k * room * size, before + k * before_step, before_step, after + k * after_step,
            after_step, target + k * line, channels,
        )  # fmt: skip
