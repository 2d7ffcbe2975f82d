"""First steps of the backward differentiation formulas: one or two of kencarp47, whose slopes give the differences.

C. W. Gear, Runge-Kutta starters for multistep methods, ACM Trans. Math. Softw. 6 (1980), 263-279. A start at order 1
takes a dozen steps, the first of them shorter than the times between which they lie, where these are far from 0.
"""

from __future__ import annotations

from math import comb
from typing import NamedTuple

import numpy as np

from equilib.arrays import Array
from equilib.ode import Attempt, Flow, FlowPoint, Memory
from equilib.ode.newton import Implicit, Jacobian
from equilib_ode.esdirk import Cache
from equilib_ode.kencarp47 import KENCARP47, KenCarp47

ORDER, SHARE = 3, 1 / 3
"""Order after the start, and the part of the last step between the points of its differences."""

NODES = [3, 2, 5, 6]
"""Stages whose slopes are interpolated: those next to the end. What stiff components are at the start has decayed."""

EARLY = 1e-3
"""Error of a step that was much too short, after which there is another."""

SMALLEST, LARGEST, SAFETY = 0.2, 7.0, 0.7
"""Bounds of the factor of a step size, the upper one for errors that are `EARLY`, and the part that an error allows."""


class Started(NamedTuple):
    """A step of kencarp47, the differences at its end, and whether there are enough of such steps, shape (lanes,)."""

    attempt: Attempt
    differences: tuple[Array, ...]
    enough: np.ndarray
    factor: np.ndarray


def started(options: Implicit, flow: Flow, start: FlowPoint, h: np.ndarray, known: Jacobian | None) -> Started:
    """Make a step of size h, shape (lanes,); differences are those of steps of `SHARE` of it."""
    method = KenCarp47(linear_solver=options.linear_solver, largest=options.largest)
    cache = None if known is None else Cache(known, np.ones(flow.lanes))
    attempt = method.attempt(flow, start, h, Memory(cache=cache))
    error = attempt.error
    with np.errstate(all="ignore"):
        wanted = SAFETY * error ** (-1 / KENCARP47.order)
    enough = ~((error > 0) & (error < EARLY))
    after = np.where(enough, SHARE * np.fmin(wanted, 1 / (ORDER * SHARE)), np.fmin(wanted, LARGEST))
    factor = np.where(error <= 1, after, np.fmin(np.fmax(wanted, SMALLEST), SAFETY))
    differences = tuple(flow.sum(h, weights, attempt.stages) for weights in _WEIGHTS.tolist())
    return Started(attempt, (*differences, flow.zeros()), enough, factor)


def _weights() -> np.ndarray:
    """Return the weights of h kᵢ in ∇ʲy at the end of a step, j = 1 to `ORDER`, by a polynomial through slopes."""
    c, ends = np.asarray(KENCARP47.c), 1 - SHARE * np.arange(ORDER + 1)
    weights = np.zeros((ORDER, c.size))
    for node in NODES:
        others = c[[each for each in NODES if each != node]]
        integral = np.polynomial.Polynomial.fromroots(others).integ() / np.prod(c[node] - others)
        values = integral(ends)
        for j in range(1, ORDER + 1):
            weights[j - 1, node] = sum((-1) ** i * comb(j, i) * values[i] for i in range(j + 1))
    return weights


_WEIGHTS = _weights()
