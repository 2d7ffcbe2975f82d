"""Schedules of the learning rate: each maps a step, counted from 0, to its rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, isfinite, pi
from numbers import Integral, Real
from typing import Any

from equilib.errors import brief
from equilib.options.kinds import check_interval, described, is_number


@dataclass(frozen=True)
class Constant:
    """The same rate in every step.

    Raises TypeError or ValueError if it is no number of 0 or more.
    """

    rate: float

    def __post_init__(self) -> None:
        check_interval(self, "rate", "[0, inf)")

    def __call__(self, step: int) -> float:
        """Return the rate."""
        return self.rate


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from `peak` to `final` over `steps`, then `final` (Loshchilov & Hutter 2017, eq. 5).

    Raises TypeError or ValueError if a rate or the number of steps is negative.
    """

    peak: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        check_interval(self, "peak", "[0, inf)")
        check_interval(self, "final", "[0, inf)")
        _check_steps(self)

    def __call__(self, step: int) -> float:
        """Return the rate."""
        return _anneal(self.peak, self.final, step / max(self.steps, 1))


@dataclass(frozen=True)
class OneCycle:
    """Rise from peak/`start_ratio` to `peak` in the first `warm` share of the steps, then fall to peak/`end_ratio`.

    Both ways along half a cosine (Smith & Topin 2018, arXiv:1708.07120, §3), with the peak at step warm · steps − 1, as
    PyTorch's OneCycleLR has it, unless `peak_step` says otherwise.

    Raises TypeError or ValueError if a rate, a step or their number is negative, `warm` is no share, or a ratio not
    positive.
    """

    peak: float
    steps: int
    warm: float = 0.3
    start_ratio: float = 25.0
    end_ratio: float = 1e4
    peak_step: float | None = None

    def __post_init__(self) -> None:
        check_interval(self, "peak", "[0, inf)")
        check_interval(self, "warm", "[0, 1]")
        check_interval(self, "start_ratio", "(0, inf)")
        check_interval(self, "end_ratio", "(0, inf)")
        if self.peak_step is not None:
            check_interval(self, "peak_step", "[0, inf)")
        _check_steps(self)

    def __call__(self, step: int) -> float:
        """Return the rate."""
        rise = self.warm * self.steps - 1 if self.peak_step is None else max(self.peak_step, 1.0)
        if step < rise:
            return _anneal(self.peak / self.start_ratio, self.peak, step / rise)
        return _anneal(self.peak, self.peak / self.end_ratio, (step - rise) / ((self.steps - 1 - rise) or 1.0))


@dataclass(frozen=True)
class WarmUp:
    """Rise in a line from `start` times the first rate of a schedule to that rate in `steps`, then follow it.

    A number is the schedule of that rate.

    Raises TypeError or ValueError if the schedule is none, or the number of steps or `start` is negative.
    """

    schedule: float | Callable[[int], float]
    steps: int
    start: float = 0.1

    def __post_init__(self) -> None:
        schedule_of(self.schedule)
        check_interval(self, "start", "[0, inf)")
        _check_steps(self)

    def __call__(self, step: int) -> float:
        """Return the rate."""
        schedule = schedule_of(self.schedule)
        if step >= self.steps:
            return schedule(step - self.steps)
        return schedule(0) * (self.start + (1 - self.start) * step / self.steps)


def schedule_of(given: Any, name: str = "schedule") -> Callable[[int], float]:
    """Return an argument called `name` that is a schedule; of a number the schedule of that rate.

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If the number is no rate.
    """
    if is_number(given, Real):
        if not (isfinite(given) and given >= 0):
            raise ValueError(f"{name} must be a rate of 0 or more, got {given}")
        return Constant(float(given))
    if isinstance(given, type):
        raise TypeError(f"{name} must be a schedule, not a class; write {given.__name__}(...)")
    if not callable(given):
        raise TypeError(
            f"{name} must be a rate or a function of the step, such as 1e-3 or Cosine(1e-3, steps), got "
            f"{described(given)}"
        )
    found: Callable[[int], float] = given
    return found


def rate_at(schedule: Any, step: int) -> float:
    """Return the rate that a schedule has at a step.

    Raises TypeError if it returns no number there, ValueError if that is no rate.
    """
    rate = schedule_of(schedule)(step)
    if not is_number(rate, Real) and getattr(rate, "shape", None) != ():
        raise TypeError(f"schedule must return a rate at every step, at step {step} it returned {described(rate)}")
    if not (isfinite(rate) and rate >= 0):
        raise ValueError(f"schedule must return rates of 0 or more, at step {step} it returned {float(rate)}")
    return float(rate)


def _check_steps(schedule: Any) -> None:
    """Require a whole number of steps, not negative; raises TypeError, ValueError."""
    steps = schedule.steps
    whole = is_number(steps, Integral)
    if not whole or steps < 0:
        sentence = f"steps of {type(schedule).__name__} must be a whole number, not negative, got {brief(steps)}"
        raise ValueError(sentence) if whole else TypeError(sentence)


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + cos(pi * min(max(share, 0.0), 1.0)))
