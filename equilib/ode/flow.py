"""Flow of y' = f(t, y) as an integrator sees it: evaluations, linear combinations, the error norm, a choice by lane.

A *lane* is what has a time and a step size of its own: one sample, or the whole batch. What belongs to a lane is kept
on the host, in arrays of shape (lanes,).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NoReturn, Protocol, TypeAlias

import numpy as np

from equilib.arrays import (
    Array,
    array_namespace,
    coefficients,
    from_host,
    in_single,
    rms_norm,
    rows_like,
    samples_as_rows,
    to_host,
    weighted_sum,
    where_samples,
    zeros_like,
)
from equilib.errors import NoDerivativeError, brief
from equilib.fixed_points.linearization import Linearization
from equilib.numerics.combinations import combined

Combination: TypeAlias = Callable[[Array | None, Sequence[float | Array], Sequence[Array]], Array]
"""Maps a base, weights and arrays to their sum, as `equilib.arrays.weighted_sum` does."""

ErrorNorm: TypeAlias = Callable[[Array, "FlowPoint", Array], np.ndarray]
"""Maps the error of a step, its start and its end to a norm relative to the tolerance, shape (lanes,)."""


@dataclass(frozen=True)
class FlowPoint:
    """A time, shape (lanes,) on the host; the solution there, shape (batch, ...); and its derivative."""

    t: np.ndarray
    y: Array
    dy: Array


class SlopeSolver(Protocol):
    """**Protocol:** a solver of k = f(t, base + c k) for the slope k; `equilib.ode.newton` has one."""

    @property
    def c(self) -> np.ndarray:
        """The factor c, shape (lanes,)."""

    def solve(self, flow: Flow, start: FlowPoint, t: np.ndarray, base: Array, guess: Array) -> Array:
        """Return k at the times t, from a guess of c k; errors count as those of a step from `start` do."""

    def solve_transposed(self, linear: Linearization, cotangent: Array) -> Array:
        """Return the s of s = Aᵀ s + cotangent to rounding, where A is the derivative in `linear`."""


ImplicitSlope: TypeAlias = Callable[[SlopeSolver, FlowPoint, np.ndarray, Array, Array], Array]
"""Maps the solver, the start of the step, t, base and guess to the slope, as `Flow.implicit_slope` does."""


def _same(array: Array) -> Array:
    return array


def _no_linearization(t: np.ndarray, y: Array) -> NoReturn:
    raise NoDerivativeError("this flow was made without a linearization; give Flow(..., linearize=...)")


class Flow:
    """The right-hand side of an equation, with the arithmetic of one integration.

    f(t, y) takes t on the host, shape (lanes,); `like` is any array of the shape (batch, ...), dtype and library of y;
    there are 1 or `batch` lanes. `linearize(t, y)` is what implicit methods need. Where steps are traced, `select` and
    `combination` take the places of `equilib.arrays.where_samples` and `equilib.arrays.weighted_sum`, `constant` gives
    the value of a traced array, and `implicit` is what `implicit_slope` does.
    """

    def __init__(
        self,
        f: Callable[[np.ndarray, Array], Array],
        like: Array,
        lanes: int,
        error_norm: ErrorNorm,
        select: Callable[[np.ndarray, Array, Array], Array] = where_samples,
        combination: Combination | None = None,
        linearize: Callable[[np.ndarray, Array], Linearization] = _no_linearization,
        constant: Callable[[Array], Array] = _same,
        implicit: ImplicitSlope | None = None,
    ) -> None:
        self._f, self._like, self._select, self._combination = f, like, select, combination
        self.lanes, self.error_norm, self.constant = lanes, error_norm, constant
        self._linearize, self._implicit = linearize, implicit
        self.mixes: bool | None = None
        """Whether f mixes the samples of the batch, once an implicit method knows."""

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the arithmetic, which interpolants use, without the functions."""
        return {**vars(self), "_f": None, "error_norm": None, "_linearize": None, "_implicit": None, "constant": _same}

    def __call__(self, t: np.ndarray, y: Array) -> Array:
        """Evaluate f at the times t, shape (lanes,)."""
        return self._f(t, y)

    def linearize(self, t: np.ndarray, y: Array) -> Linearization:
        """Evaluate f at the times t, shape (lanes,), and keep what J·v and Jᵀ·w need; raises NoDerivativeError."""
        return self._linearize(t, self.constant(y))

    def implicit_slope(self, solver: SlopeSolver, start: FlowPoint, t: np.ndarray, base: Array, guess: Array) -> Array:
        """Return the k of k = f(t, base + c k) that the solver finds from a guess of c k, all of y's shape; t as of f.

        Where steps are traced it is an implicit function of the base.
        """
        if self._implicit is not None:
            return self._implicit(solver, start, t, base, guess)
        return solver.solve(self, start, t, base, guess)

    def combine(
        self, y: Array | None, h: np.ndarray, weights: Sequence[float | np.ndarray], vectors: Sequence[Array]
    ) -> Array:
        """Return y + Σ h wᵢ vᵢ; h and weights that are no numbers have shape (lanes,). No vᵢ of zero weight is used."""
        if self.lanes == 1:  # the arithmetic of numbers costs a tenth of that of arrays with one number
            size = float(h[0])
            numbers = [float(weight[0]) if isinstance(weight, np.ndarray) else weight for weight in weights]
            used = [vector for number, vector in zip(numbers, vectors, strict=True) if number]
            factors: list[float | Array] = [size * number for number in numbers if number]
        else:
            pairs = [(weight, vector) for weight, vector in zip(weights, vectors, strict=True) if np.any(weight)]
            used = [vector for _, vector in pairs]
            if used and self._combination is None:
                return combined(y, np.stack([h * weight for weight, _ in pairs], axis=1), used)
            factors = [self.coefficient(h * weight) for weight, _ in pairs]
        if used:
            return (self._combination or weighted_sum)(y, factors, used)
        return self.zeros() if y is None else y

    def sum(self, h: np.ndarray, weights: Sequence[float | np.ndarray], vectors: Sequence[Array]) -> Array:
        """Return Σ h wᵢ vᵢ, of the shape of y, as `combine` does."""
        return self.combine(None, h, weights, vectors)

    def coefficient(self, values: np.ndarray) -> float | Array:
        """Return numbers of the lanes, shape (lanes,), as a factor for arrays of the shape of y."""
        if self.lanes == 1:
            return float(values[0])
        return rows_like(coefficients(values, self._like), self._like)

    def select(self, mask: np.ndarray, chosen: Array, other: Array) -> Array:
        """Take the lanes where `mask`, shape (lanes,), is true from `chosen`, the rest from `other`."""
        count = np.count_nonzero(mask)  # a third of what mask.all() costs
        if count == len(mask):
            return chosen
        return self._select(mask, chosen, other) if count else other

    def zeros(self) -> Array:
        """Return zeros of the shape of y."""
        return zeros_like(self._like)


def after(t: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Return the times after steps of about h, both of shape (lanes,): the next numbers to t + h, and never t."""
    moved = t + h
    stuck = moved == t
    if np.count_nonzero(stuck):
        moved = np.where(stuck, np.nextafter(t, np.copysign(np.inf, h)), moved)
    return np.asarray(moved)


def time_like(t: np.ndarray, y: Array, *, fine: bool = False) -> Array:
    """Return times of lanes, shape (lanes,), as an array of y's library that broadcasts against y, in y's dtype.

    `fine` times are of float64 whatever the dtype of y.
    """
    times = np.asarray(t).reshape((-1,) + (1,) * (y.ndim - 1))
    return from_host(np.asarray(times, dtype=np.float64), y) if fine else coefficients(times, y)


COARSE = 2.0**-10
"""Times that are rounded by more than this part of a step are kept in float64 beside coarser states."""


def too_coarse(t: np.ndarray, h: np.ndarray, y: Array) -> bool:
    """Tell whether times about t, in the dtype of y, are too coarse for steps of size h, both of shape (lanes,)."""
    info = array_namespace(y).finfo(y.dtype)
    if info.bits >= 64:
        return False
    resolution = float(info.eps)
    return bool(np.any(resolution * np.abs(t) > COARSE * np.abs(h), where=h != 0))


def tolerance_norm(rtol: float | Array, atol: float | Array, lanes: int) -> ErrorNorm:
    """Return the root mean square over a lane of error / (atol + rtol · max(|y₀|, |y₁|)).

    Tolerances are numbers, or arrays that broadcast against y. An error in half precision counts as at least the
    tenth of y's rounding, up to a hundredth: what is less is no reason for a long step.
    """
    last: list[Any] = [None, None, None]  # the errors of a step and of its neighbours in order have one scale

    def norm(error: Array, start: FlowPoint, y: Array) -> np.ndarray:
        if last[0] is start.y and last[1] is y:
            return lane_rms(error / last[2], lanes)
        xp = array_namespace(error)
        info = xp.finfo(error.dtype)
        size = xp.maximum(xp.abs(start.y), xp.abs(y))
        if info.bits >= 32:
            least = max(atol, float(info.smallest_normal)) if isinstance(atol, float) else atol
            last[:] = start.y, y, least + rtol * size
            return lane_rms(error / last[2], lanes)
        size = in_single(size)
        scale = atol + rtol * size
        rounding = np.minimum(0.1 * float(info.eps) * lane_rms(size / scale, lanes), 0.01)
        found = lane_rms(in_single(error) / scale, lanes)
        return np.asarray(np.where(found < rounding, rounding, found))

    return norm


def checked_norm(norm: ErrorNorm, lanes: int) -> ErrorNorm:
    """Return a user's error norm, which raises ValueError where it returns something else."""

    def checked(error: Array, start: FlowPoint, y: Array) -> np.ndarray:
        found = norm(error, start, y)
        array = isinstance(found, np.ndarray) and found.dtype.kind == "f"
        if array and found.shape == (lanes,) and not np.count_nonzero(found < 0):
            return found
        raise ValueError(
            f"error_norm must return numbers that are not negative, a NumPy array of floats of shape ({lanes},), it "
            f"returned {brief(found)}"
        )

    return checked


def finite_samples(array: Array) -> np.ndarray:
    """Return which samples are finite, on the host, shape (batch,)."""
    xp = array_namespace(array)
    return np.asarray(to_host(xp.all(xp.isfinite(samples_as_rows(array)), axis=1)))


def lane_rms(array: Array, lanes: int) -> np.ndarray:
    """Return the root mean square over each lane, on the host, shape (lanes,)."""
    xp = array_namespace(array)
    rows = array if lanes > 1 else xp.reshape(array, (1, prod(array.shape)))
    return np.asarray(to_host(rms_norm(rows)), dtype=np.float64)
