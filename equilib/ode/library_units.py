"""Units of an integration by a library: time from the start in units of its scale, y in units of the tolerance.

Libraries begin with formulas that have dimensions, keep times as they come, and take differences of a least width. In
units that follow from the problem, all of them powers of two, the same problem in other units is the same calls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib.ode.library import Interpolant, Jacobian, LibraryIntegrator, Start, System, TimeStepper

TOLERANCE = 2.0**-20
"""The absolute tolerance in a library's units, about: that of `OdeOptions` in those of everyday."""


@dataclass(frozen=True)
class Units:
    """Time t₀ + `time` · τ, `time` negative backward; y = `size` · η."""

    t0: float
    time: float
    size: float

    @classmethod
    def of(cls, start: Start, slope: np.ndarray) -> Units:
        """Return the units of an integration that begins with a slope, shape (size,)."""
        scale = start.atol + start.rtol * np.abs(start.y)
        size, rate = (float(np.max(np.abs(each) / scale)) for each in (start.y, slope))
        span = abs(start.end - start.t)
        time = max(size, 1.0) / rate if rate * span > 1e-5 else span
        atol = float(np.max(start.atol))
        return cls(start.t, float(np.copysign(_power(min(time, span)), start.end - start.t)), _power(atol / TOLERANCE))

    def system(self, system: System) -> System:
        """Return dη/dτ = f(t, y) · time / size, and its Jacobian."""

        def jacobian(kind: str) -> Jacobian | None:
            given = system.jacobian(kind)
            return given and (lambda t, y: given(self.t0 + self.time * t, self.size * y) * self.time)

        factor = self.time / self.size
        return System(lambda t, y: system(self.t0 + self.time * t, self.size * y) * factor, jacobian, system.size)

    def start(self, start: Start) -> Start:
        """Return where it begins."""
        unit, first = abs(self.time), start.first_step
        return Start(
            t=0.0,
            end=(start.end - self.t0) / self.time,
            y=start.y / self.size,
            rtol=start.rtol,
            atol=start.atol / self.size,
            first_step=None if first is None else first / unit,
            largest_step=start.largest_step / unit,
        )


class InUnits:
    """An integration by a library as a `TimeStepper` in the units of its user."""

    def __init__(self, integrator: LibraryIntegrator, system: System, start: Start, units: Units) -> None:
        inner = units.start(start)
        self._stepper: TimeStepper = integrator.stepper(units.system(system), inner)
        self._units, self._start, self._before = units, start, inner.t
        self._inner_end = inner.end

    def step(self) -> str | None:
        """Make a step; return why, if there can be none."""
        self._before = self._stepper.t
        return self._stepper.step()

    @property
    def arrived(self) -> bool:
        """Whether the library is at its end: the user's times may be too coarse to tell."""
        return self._stepper.t == self._inner_end

    @property
    def t(self) -> float:
        """The time after the last step: the last number that it passed, so that a number lies in one step."""
        if self.arrived:
            return self._start.end
        t = self._units.t0 + self._units.time * self._stepper.t
        late = (t - self._units.t0) / self._units.time > self._stepper.t
        return float(np.nextafter(t, self._start.t)) if late else t

    def passed(self, times: np.ndarray, limit: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return which of the times the last step, up to the limit if there is one, came by, and at which it ended."""
        own, last = (times - self._units.t0) / self._units.time, self._stepper.t
        passed = (own > self._before) & (own <= last)
        if limit is not None:
            passed &= np.sign(self._units.time) * (limit - times) >= 0
        return passed, passed & (own == self._stepper.t)

    @property
    def y(self) -> np.ndarray:
        """The solution after the last step, shape (size,)."""
        return self._units.size * self._stepper.y

    @property
    def step_size(self) -> float:
        """Size of the last step."""
        return abs(self._units.time) * self._stepper.step_size

    def interpolant(self) -> Interpolant:
        """Return the library's interpolant of the last step, at the nearer end of it where a time is outside."""
        inner, units, before, last = self._stepper.interpolant(), self._units, self._before, self._stepper.t
        return lambda t: units.size * inner(min(max((t - units.t0) / units.time, before), last))


def _power(number: float) -> float:
    with np.errstate(divide="ignore"):
        return float(2.0 ** np.clip(np.rint(np.log2(number)), -1000, 1000))
