"""Axes: where they begin and end, their ticks, and what stands there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from equilib.report.numbers import power_of_ten

_TICKS = 5


@dataclass(frozen=True, kw_only=True)
class Scale:
    """An axis from `low` to `high`, with ticks and their labels."""

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return where `value` lies, 0 at `low` and 1 at `high`."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def linear_scale(values: Sequence[float], *, percent: bool = False, from_zero: bool = False) -> Scale:
    """Return a scale from a tick at or below the values to one at or above; shares end at 1."""
    low, high = min(values), max(values)
    if from_zero:
        low = min(low, 0.0)
    if low == high:
        low, high = (low, low + (0.1 if percent else 1.0)) if from_zero else (low - abs(low) / 10, low + abs(low) / 10)
        high = high if high > low else low + 1.0
    step = _step((high - low) / _TICKS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [index * step for index in range(first, last + 1)]
    if percent and high <= 1:
        ticks = [tick for tick in ticks if tick <= 1 + 1e-9]
    end = max(high, ticks[-1])
    return Scale(low=ticks[0], high=end, ticks=tuple(ticks), labels=tuple(_label(t, step, percent) for t in ticks))


def whole_scale(values: Sequence[float]) -> Scale:
    """Return a scale that ends with the values, with ticks at whole numbers."""
    low, high = min(values), max(values)
    if low == high:
        return Scale(low=low - 1, high=high + 1, ticks=(low,), labels=(f"{low:g}",))
    step = max(1, round(_step((high - low) / 8)))
    ticks = [tick for tick in range(math.ceil(low), math.floor(high) + 1) if tick % step == 0 or tick == low]
    if len(ticks) > 1 and ticks[1] - ticks[0] < step / 2:
        del ticks[1]
    return Scale(low=low, high=high, ticks=tuple(map(float, ticks)), labels=tuple(f"{tick:,}" for tick in ticks))


def log_scale(values: Sequence[float]) -> Scale:
    """Return a logarithmic scale; within two decades it has ticks at 1, 2 and 5 times the powers of ten."""
    low, high = math.log10(min(values)), math.log10(max(values))
    fine = high - low < 2
    marks = [
        (exponent + math.log10(factor), factor, exponent)
        for exponent in range(math.floor(low) - 1, math.ceil(high) + 2)
        for factor in ((1, 2, 5) if fine else (1,))
    ]
    first = max(index for index, mark in enumerate(marks) if mark[0] <= low + 1e-9)
    last = min(index for index, mark in enumerate(marks) if mark[0] >= high - 1e-9)
    kept = marks[first : max(last, first + 1) + 1]
    every = 1 if fine else math.ceil(len(kept) / 7)
    ticks = kept[::every]
    short = all(-4 < exponent < 5 for _, _, exponent in ticks)
    return Scale(
        low=10.0 ** kept[0][0],
        high=10.0 ** kept[-1][0],
        ticks=tuple(10.0**mark for mark, _, _ in ticks),
        labels=tuple(_power(factor, exponent, short=short) for _, factor, exponent in ticks),
        logarithmic=True,
    )


def _step(rough: float) -> float:
    """Return 1, 2 or 5 times a power of ten, the first that is at least `rough`."""
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _label(value: float, step: float, percent: bool) -> str:  # noqa: FBT001
    scale = 100 if percent else 1
    digits = max(0, -math.floor(math.log10(step * scale) + 1e-9))
    if digits > 4 or abs(value) >= 1e6:
        return _minus(f"{value * scale:.3g}")
    return _minus(f"{value * scale + 0.0:,.{digits}f}")


def _minus(text: str) -> str:
    return text.replace("-", "−", 1) if text.startswith("-") else text


def _power(factor: int, exponent: int, *, short: bool) -> str:
    if short or exponent == 0:
        return f"{factor * 10.0**exponent:g}"
    power = power_of_ten(exponent)
    return power if factor == 1 else f"{factor}·{power}"
