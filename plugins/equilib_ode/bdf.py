"""Backward differentiation formulas of variable order, in the form of numerical differentiation formulas.

L. F. Shampine & M. W. Reichelt, The MATLAB ODE Suite, SIAM J. Sci. Comput. 18 (1997), 1-22. With backward differences
∇ʲ of steps of one size, γⱼ = Σ 1/i over i ≤ j and αₖ = (1 − κₖ) γₖ, order k solves

    p = yₙ + Σ ∇ʲyₙ,   ψ = Σ γⱼ ∇ʲyₙ / αₖ,   d = (h / αₖ) f(t + h, p + d) − ψ,   yₙ₊₁ = p + d,

sums over 1 ≤ j ≤ k; the error is (κₖ γₖ + 1/(k + 1)) d. Where the step size changes, differences are interpolated anew.
The first ones are of `equilib_ode.bdf_start`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import ClassVar, NamedTuple

import numpy as np

from equilib.arrays import Array
from equilib.ode import Attempt, Controller, Flow, FlowPoint, IController, Memory, Step, Traits
from equilib.ode.newton import UNSOLVED, Implicit, Jacobian, Newton
from equilib.options import option
from equilib_ode.bdf_start import ORDER, SHARE, started
from equilib_ode.kencarp47 import KENCARP47

HIGHEST = 5
KAPPA = np.array([0.0, -0.1850, -1 / 9, -0.0823, -0.0415, 0.0, 0.0])
GAMMA = np.concatenate(([0.0], np.cumsum(1 / np.arange(1, HIGHEST + 2))))
ALPHA = (1 - KAPPA) * GAMMA
ERROR = KAPPA * GAMMA + 1 / np.arange(1, HIGHEST + 3)
"""Constants of the orders 0 to 6, the first and the last for comparison only."""

ITERATIONS, LEFT = 4, 0.03
"""Steps of Newton's method before the Jacobian is renewed, or the step shortened; and what may be left of an error."""

SAFETY, LARGEST, SMALLEST = 0.7, 10.0, 0.2
"""Part of the factor of a step size that an error allows, and bounds of the factor."""

SAME = 1e-12
"""Relative difference of step sizes that is rounding."""

EQUAL = 1e-3
"""Relative difference of step sizes that are of one size to the choice of the order."""


class History(NamedTuple):
    """What is known of each lane's steps, all of shape (lanes,).

    `order` is that of the next step, 0 before the first difference, `equal` the number of steps of one size and order
    so far, `size` the step size of the differences.
    """

    order: np.ndarray
    equal: np.ndarray
    size: np.ndarray


@dataclass(frozen=True)
class BDF(Implicit):
    """Backward differentiation formulas of order 1 to 5, each lane with its own: two or three evaluations a step."""

    max_order: int = option(5, help="limit the order", minimum=1, maximum=HIGHEST)

    order: ClassVar[int] = ORDER
    """Order after the start; later ones are chosen."""
    controller: ClassVar[Controller] = IController()
    traits: ClassVar[Traits] = Traits(solves_slopes=True)

    def begin(self, flow: Flow, start: FlowPoint) -> Memory:
        """Return no difference."""
        zeros = np.zeros(flow.lanes, dtype=int)
        return Memory((), History(zeros, zeros, np.ones(flow.lanes)))

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step of the start, or by a formula, in each lane."""
        first = (memory.host.order == 0) & (h != 0)
        if not first.any():
            return self._by_formula(flow, start, h, memory)
        found = started(self, flow, start, np.where(first, h, 0.0), memory.cache)
        begun, enough = found.attempt, found.enough
        order = np.where(enough, min(ORDER, self.max_order), 0)
        # As many differences as idle lanes have, whose memory outlasts this step.
        more = [flow.zeros()] * (len(memory.arrays) - len(found.differences))
        kept = Memory((*found.differences, *more), History(order, 0 * order, h * SHARE), begun.memory.cache.jacobian)
        stages = (begun.stages[-1], *begun.stages)
        begun = replace(begun, order=np.full_like(order, ORDER), stages=stages, memory=kept, factor=found.factor)
        if (first | (h == 0)).all():
            return begun
        later = self._by_formula(flow, start, np.where(first, 0.0, h), memory._replace(cache=kept.cache))
        pairs = zip_longest(kept.arrays, later.memory.arrays, fillvalue=flow.zeros())
        return Attempt(
            y=flow.select(first, begun.y, later.y),
            error=np.where(first, begun.error, later.error),
            order=np.where(first, ORDER, later.order),
            stages=(flow.select(first, stages[0], later.stages[0]), *stages[1:]),
            memory=Memory(
                tuple(flow.select(first, *pair) for pair in pairs),
                History(*(np.where(first, *pair) for pair in zip(kept.host, later.memory.host, strict=True))),
                later.memory.cache,
            ),
            factor=np.where(first, begun.factor, later.factor),
        )

    def _by_formula(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Predict, correct by Newton's method; estimate the errors of this order and of its neighbours."""
        history: History = memory.host
        k: np.ndarray = np.where(history.order == 0, 1, history.order)
        each = np.ones(flow.lanes)
        differences = _rescaled(flow, memory.arrays, k, np.where(h == 0, 1.0, h / history.size))
        used = range(1, int(k.max()) + 1)
        predicted = flow.combine(start.y, each, [_where(j <= k, 1.0) for j in used], differences[: len(used)])
        psi = flow.sum(each, [_where(j <= k, GAMMA[j] / ALPHA[k]) for j in used], differences[: len(used)])
        slope, found = self._solve(flow, start, h, h / ALPHA[k], predicted, psi, memory.cache)
        d = flow.sum(h, (1 / ALPHA[k],), (slope,)) - psi
        y, new = predicted + d, _updated(flow, differences, k, d)
        error = found.error(flow.error_norm(flow.sum(each, (ERROR[k],), (d,)), start, y))
        equal = np.where(np.abs(h / history.size - 1) <= EQUAL, history.equal, 0) + 1
        order, factor = self._next(flow, start, y, new, k, equal, error)
        factor = np.where(error == UNSOLVED, 0.5, factor)
        kept = History(order, np.where((order == k) & (factor == 1), equal, 0), h)
        memory = Memory(new, kept, found.jacobian)
        return Attempt(y=y, error=error, order=k, stages=(slope,), memory=memory, factor=factor)

    def _solve(
        self,
        flow: Flow,
        start: FlowPoint,
        h: np.ndarray,
        c: np.ndarray,
        predicted: Array,
        psi: Array,
        known: Jacobian | None,
    ) -> tuple[Array, Newton]:
        """Return the slope at the end of the step, with a new Jacobian where the old one does not lead there."""
        place, base = FlowPoint(start.t + h, predicted, start.dy), predicted - psi
        every = np.ones(flow.lanes, dtype=bool)
        jacobian = self.jacobian(flow, place, None, every) if known is None else known
        unknown = np.full(flow.lanes, np.inf)
        newton = self.newton(flow, c, jacobian, unknown, limit=ITERATIONS, kappa=LEFT)
        slope = flow.implicit_slope(newton, start, place.t, base, psi)
        lost = ~newton.solved
        if known is not None and lost.any():
            jacobian = self.jacobian(flow, place, jacobian, lost)
            newton = self.newton(flow, c, jacobian, unknown, limit=ITERATIONS, kappa=LEFT, active=lost)
            slope = flow.select(lost, flow.implicit_slope(newton, start, place.t, base, psi), slope)
        return slope, newton

    def _next(
        self,
        flow: Flow,
        start: FlowPoint,
        y: Array,
        differences: Sequence[Array],
        k: np.ndarray,
        equal: np.ndarray,
        error: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the next order, and the factor of the step size: new ones after k + 1 equal steps."""
        accepted = error <= 1
        ready = accepted & (equal > k)
        below, above = np.full((2, *k.shape), np.inf)
        if ready.any():
            index, each = range(1, len(differences) + 1), np.ones(k.shape)
            lower = flow.sum(each, [_where(j == k, ERROR[k - 1]) for j in index], differences)
            higher = flow.sum(each, [_where(j == k + 2, ERROR[k + 1]) for j in index], differences)
            below = np.where(k > 1, flow.error_norm(lower, start, y), np.inf)
            above = np.where(k < self.max_order, flow.error_norm(higher, start, y), np.inf)
        with np.errstate(all="ignore"):
            factors = np.stack([e ** (-1 / (k + 1 + i)) for i, e in ((0, error), (-1, below), (1, above))])
            shorter = np.fmax(SMALLEST, np.fmin(SAFETY * factors[0], SAFETY))
        order = np.where(ready, k + np.array([0, -1, 1])[np.argmax(factors, axis=0)], k)
        longer = np.where(ready, np.fmin(LARGEST, SAFETY * factors.max(axis=0)), 1.0)
        return order, np.where(accepted, longer, shorter)

    def advance(
        self, flow: Flow, start: FlowPoint, t: np.ndarray, attempt: Attempt, accepted: np.ndarray, memory: Memory
    ) -> tuple[FlowPoint, Memory]:
        """Take the slope that was solved for as the derivative; lanes that reject the step keep their differences."""
        cache = attempt.memory.cache
        if not accepted.any():
            return start, memory._replace(cache=cache)
        padded = (*memory.arrays, *(flow.zeros() for _ in attempt.memory.arrays))
        arrays = tuple(flow.select(accepted, *pair) for pair in zip(attempt.memory.arrays, padded, strict=False))
        host = History(*(np.where(accepted, *pair) for pair in zip(attempt.memory.host, memory.host, strict=True)))
        y, dy = flow.select(accepted, attempt.y, start.y), flow.select(accepted, attempt.stages[0], start.dy)
        return FlowPoint(t, y, dy), Memory(arrays, host, cache)

    def interpolant(self, flow: Flow, step: Step) -> list[Array]:
        """Return the polynomial through the end of the step and the k points before it; kencarp47's at the start."""
        k, differences = step.memory.host.order, step.attempt.memory.arrays
        used, each = range(1, int(k.max()) + 1), np.ones(flow.lanes)
        found = [
            flow.sum(each, [_where(j <= k, POLYNOMIALS[j, power]) for j in used], differences[: len(used)])
            for power in used
        ]
        stages = step.attempt.stages[1:]
        if not stages:
            return found
        begun = [flow.sum(step.h, weights, stages) for weights in np.asarray(KENCARP47.interpolant).T.tolist()]
        return [flow.select(k == 0, *pair) for pair in zip_longest(begun, found, fillvalue=flow.zeros())]


def _where(mask: np.ndarray, value: float | np.ndarray) -> np.ndarray:
    return np.where(mask, value, 0.0)


def _rescaled(flow: Flow, differences: tuple[Array, ...], k: np.ndarray, ratio: np.ndarray) -> tuple[Array, ...]:
    """Return the differences of the interpolant for steps longer by `ratio`, shape (lanes,); ibid., §2.3."""
    changed = np.abs(ratio - 1) > SAME
    if not changed.any():
        return differences
    highest, each = int(k.max()), np.ones(flow.lanes)
    matrix = _differences(ratio, highest) @ _differences(np.ones(1), highest)
    new = [
        flow.sum(
            each, [_where((i <= k) & (j <= k), matrix[:, j, i]) for j in range(1, highest + 1)], differences[:highest]
        )
        for i in range(1, highest + 1)
    ]
    kept = [flow.select(changed & (i <= k), *pair) for i, pair in enumerate(zip(new, differences, strict=False), 1)]
    return (*kept, *differences[highest:])


def _differences(ratio: np.ndarray, k: int) -> np.ndarray:
    """Return R, shape (lanes, k + 1, k + 1): rᵢⱼ is the product over 1 ≤ m ≤ i of (m − 1 − j · ratio) / m."""
    i, j = np.arange(1, k + 1)[:, None], np.arange(k + 1)
    factors = np.ones((ratio.shape[0], k + 1, k + 1))
    factors[:, 1:] = (i - 1 - ratio[:, None, None] * j) / i
    return np.cumprod(factors, axis=1)


def _updated(flow: Flow, differences: Sequence[Array], k: np.ndarray, d: Array) -> tuple[Array, ...]:
    """Return the differences at the end of the step, up to the order k + 2 of each lane."""
    highest, each = int(k.max()), np.ones(flow.lanes)
    sums = [d, d]
    for i in range(highest, 0, -1):
        sums.append(flow.combine(sums[-1], each, (_where(i <= k, 1.0),), (differences[i - 1],)))
    return tuple(
        flow.combine(total, each, (_where(i == k + 2, -1.0),), (differences[max(i - 2, 0)],))
        for i, total in enumerate(reversed(sums), 1)
    )


def _polynomials() -> np.ndarray:
    """Return by row j the coefficients of the product over m < j of (θ − 1 + m) / (1 + m)."""
    table = np.zeros((HIGHEST + 1, HIGHEST + 1))
    table[0, 0] = 1.0
    for j in range(1, HIGHEST + 1):
        table[j] = (np.roll(table[j - 1], 1) + (j - 2) * table[j - 1]) / j
    return table


POLYNOMIALS = _polynomials()
"""Values between the steps: y(t + θh) = yₙ₊₁ + Σ ∇ʲyₙ₊₁ times row j."""
