"""Output times of an integration as differentiable inputs.

y(tᵢ) moves with tᵢ by f(tᵢ, yᵢ), and with t₀ as if y(t₀) had moved by −f(t₀, y₀).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equilib import ops
from equilib.arrays import Array, array_namespace, coefficients, from_host, to_host
from equilib.autodiff import static_value
from equilib.autodiff.rules import with_transposes
from equilib.fixed_points.boundary import is_traced
from equilib.ode.flow import time_like
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeSolution
from equilib.ode.times import Times


def traced_times(t: Times) -> Array | None:
    """Return output times as one traced array, of the shape of t; None where they are constants."""
    if is_traced(t):
        return t
    if isinstance(t, list | tuple) and any(map(is_traced, t)):
        (like, *_) = (static_value(each) for each in t if is_traced(each))
        rest = np.asarray if isinstance(like, float) else lambda each: coefficients(np.asarray(each), like)
        return ops.stack([each if is_traced(each) else rest(each) for each in t])
    return None


def times_bar(problem: OdeProblem, solution: OdeSolution, cotangent: Array, start: Array | None, t: Array) -> Array:
    """Return the cotangent of the output times, an array like t.

    Parameters
    ----------
    cotangent : array, shape (times, batch, ...)
        That of y.
    start : array or None, shape (batch, ...)
        That of y(t₀), as the sensitivity returns it.
    """

    def rate(index: int, bar: Array) -> np.ndarray:
        """Return ⟨bar, f(tᵢ, yᵢ)⟩, a number, or shape (batch,) where each sample has its own times."""
        xp, y = array_namespace(bar), solution.y[index, ...]
        if not xp.any(bar != 0):
            return np.zeros(solution.t.shape[1:])
        slope = problem.at(np.atleast_1d(solution.t[index]), y)
        return to_host(xp.sum(slope * bar, axis=tuple(range(solution.t.ndim - 1, bar.ndim))))

    rates = [rate(index, cotangent[index, ...]) for index in range(1, len(solution.t))]
    first = np.zeros(solution.t.shape[1:]) if start is None else -rate(0, start - cotangent[0, ...])
    like = static_value(t)
    return coefficients(np.stack([first, *rates]), like)


def with_times(steps: Callable[[Array], Array], f: Callable[..., Array], start: Array, t: Array) -> Array:
    """Return y(t), shape (times, batch, ...), as a function of t as well, whose values are those t is traced with.

    Between a time and its value lies a step of Runge's and Kutta's method of order 4, of size 0, so there are four
    derivatives.

    Parameters
    ----------
    steps : callable
        Maps y(t₀) to y at the values of t.
    f : callable
        Maps t and y to y'.
    """
    values = to_host(static_value(t))

    def moved(index: int, y: Array, *, back: bool) -> Array:
        like = static_value(y)
        fixed = time_like(np.atleast_1d(values[index]), like)
        away = ops.subtract(ops.getitem(t, index), static_value(t)[index, ...])
        away = ops.reshape(away, fixed.shape)
        size = ops.negative(away) if back else away
        time = _carried(away, fixed) if back else 0.0
        return _runge_kutta(f, ops.add(fixed, time), y, _carried(size, fixed), _carried(size, like))

    y = steps(moved(0, start, back=True))
    rest = [moved(index, ops.getitem(y, (index, ...)), back=False) for index in range(1, len(values))]
    return ops.stack([start, *rest])


def _runge_kutta(f: Callable[..., Array], t: Array, y: Array, length: Array, h: Array) -> Array:
    """Return y(t + h) from y(t); `length` is h as an array like t."""
    slopes: list[Array] = []
    for share in (0.0, 0.5, 0.5, 1.0):
        at = ops.add(y, ops.multiply(ops.multiply(h, share), slopes[-1])) if slopes else y
        slopes.append(f(ops.add(t, ops.multiply(length, share)), at))
    mean = ops.weighted_sum(None, (1 / 6, 1 / 3, 1 / 3, 1 / 6), slopes)
    return ops.add(y, ops.multiply(h, mean))


def _back(x: Array, like: Array) -> Callable[[Array], Array]:
    return lambda w: _carried(w, static_value(x))


@with_transposes(_back)
def _carried(x: Array, like: Array) -> Array:
    """Return x as an array of the library, device and dtype of `like`."""
    return array_namespace(like).astype(from_host(to_host(x), like), like.dtype)
