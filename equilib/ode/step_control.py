"""Step size control: the size of the first time step, and of each from the error of the last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from equilib.arrays import Array, array_namespace
from equilib.ode.flow import Flow, FlowPoint, after

SMALLEST_ERROR = 1e-4
"""What an earlier error counts as if it was smaller."""

SMALL = 100.0
"""What counts as the size of a smaller initial value, relative to the tolerance: what it soon is, if it moves."""

FIRST_GROWTH = 1e4
"""By how much the first step, which is a guess, may be too small."""


@dataclass(frozen=True)
class ControlState:
    """What a controller remembers of each lane: the error of the last accepted step, and whether there was none.

    Both have the shape (lanes,); `first` is of bool.
    """

    error: np.ndarray
    first: np.ndarray

    @classmethod
    def start(cls, lanes: int) -> ControlState:
        """Return the state before the first step."""
        return cls(np.full(lanes, SMALLEST_ERROR), np.ones(lanes, dtype=bool))

    def after(self, error: np.ndarray, accepted: np.ndarray) -> ControlState:
        """Return the state after a step with these errors, shape (lanes,); lanes that rejected it keep theirs."""
        kept = np.where(accepted, np.maximum(error, SMALLEST_ERROR), self.error)
        return ControlState(kept, self.first & ~accepted)


class Controller(Protocol):
    """**Protocol:** the factor from one step size to the next.

    1. Be a frozen dataclass; all arrays are on the host, shape (lanes,), and lanes do not mix.
    2. An error of at most 1 is acceptable; one that is not finite asks for the strongest reduction.
    """

    def factor(
        self, error: np.ndarray, accepted: np.ndarray, state: ControlState, order: np.ndarray | int
    ) -> np.ndarray:
        """Return new step size / old step size, shape (lanes,); at a rejection it is below 1."""


@dataclass(frozen=True)
class _Bounded:
    """Bounds of the factor, and the safety factor γ."""

    safety: float = 0.9
    smallest: float = 0.2
    largest: float = 10.0
    first_largest: float = FIRST_GROWTH

    def _bounded(self, factor: np.ndarray, accepted: np.ndarray, state: ControlState) -> np.ndarray:
        """Return the factor within its bounds; where it is nan, the smallest."""
        largest = np.where(accepted, np.where(state.first, self.first_largest, self.largest), self.safety)
        return np.asarray(np.fmin(np.fmax(factor, self.smallest), largest))


@dataclass(frozen=True)
class PIController(_Bounded):
    """Proportional-integral control (Gustafsson 1991; default constants as in OrdinaryDiffEq.jl).

    An accepted step of error E after one of error E' is followed by one longer by γ E^(−α/p) E'^(β/p) for order p; a
    rejected one by γ E^(−α/p). The first step has no E': it is followed by one longer by γ E^(−1/p), the elementary
    control. In the long run the error is γ^(p/(α − β)). `smallest` and `largest` bound the factor.
    """

    alpha: float = 0.7
    beta: float = 0.4

    def factor(
        self, error: np.ndarray, accepted: np.ndarray, state: ControlState, order: np.ndarray | int
    ) -> np.ndarray:
        """Return new step size / old step size, shape (lanes,)."""
        order = np.asarray(order)
        with np.errstate(all="ignore"):
            proportional = self.safety * error ** (-self.alpha / order)
            grown = proportional * state.error ** (self.beta / order)
            if np.count_nonzero(state.first):
                grown = np.where(state.first, self.safety * error ** (-1.0 / order), grown)
        return self._bounded(np.where(accepted, grown, proportional), accepted, state)


@dataclass(frozen=True)
class IController(_Bounded):
    """Integral control: the factor γ E^(−1/(p + 1)) for order p (Hairer, Nørsett & Wanner I, eq. II.4.13)."""

    def factor(
        self, error: np.ndarray, accepted: np.ndarray, state: ControlState, order: np.ndarray | int
    ) -> np.ndarray:
        """Return new step size / old step size, shape (lanes,)."""
        with np.errstate(all="ignore"):
            wanted = self.safety * error ** (-1.0 / (np.asarray(order) + 1))
        return self._bounded(wanted, accepted, state)


def first_step(
    flow: Flow, start: FlowPoint, span: np.ndarray, order: int, scaled_norm: Callable[[Array], np.ndarray]
) -> np.ndarray:
    """Return a first step size for each lane by one Euler probe (Hairer, Nørsett & Wanner I, §II.4).

    `span`, shape (lanes,), is the length of the interval, signed: no step is longer. The unit of time is that in which
    the solution moves by its size, or by `SMALL` tolerances if that is more; in it the step h of a method of order p is
    such that h^p · max(‖y'‖, ‖y''‖) is a hundredth, in the norm relative to the tolerance at the initial value,
    `scaled_norm`, shape (lanes,) on the host. The constants of the source have dimensions; no unit changes these steps.
    """
    size, slope = np.fmax(scaled_norm(start.y), SMALL), scaled_norm(start.dy)
    longest = np.abs(span)
    with np.errstate(all="ignore"):
        # Where nothing moves yet, the interval is all that is known of the time scale.
        unit = np.where(slope * longest < 1e-5, 1e-4 * longest, size / slope)
        there = after(start.t, np.copysign(np.fmin(0.01 * unit, longest), span))
        probe = there - start.t
        moved = flow.combine(start.y, probe, (1.0,), (start.dy,))
        bend = scaled_norm(flow(there, moved) - start.dy) * unit * (unit / np.abs(probe))
        steepest = np.fmax(slope * unit, np.where(np.isfinite(bend), bend, 0.0))
        wanted = np.where(steepest > 0, unit * (0.01 / steepest) ** (1.0 / order), 1e-6 * longest)
        # A step by which y moves less than its rounding is none.
        wanted = np.fmax(wanted, float(array_namespace(start.y).finfo(start.y.dtype).eps) * unit)
    return np.asarray(np.copysign(np.fmin(np.fmin(unit, wanted), longest), span))
