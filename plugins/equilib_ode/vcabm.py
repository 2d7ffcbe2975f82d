"""The Adams-Bashforth-Moulton method of variable order with variable steps.

Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, §III.5 and §III.7; L. F. Shampine & M. K. Gordon,
Computer Solution of Ordinary Differential Equations (1975). Predict with order k, evaluate, correct with order k + 1,
evaluate. With the notation of `equilib_ode.adams`:

    p = yₙ + h Σ gⱼ φ*ⱼ(n), j < k        yₙ₊₁ = p + h gₖ φₖ(n+1)        error  h (gₖ − gₖ₋₁) φₖ(n+1)

The first step is Bogacki & Shampine's: one of order 1 would be shorter than the times between which it lies, where
these are far from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import ClassVar, NamedTuple

import numpy as np

from equilib.arrays import Array
from equilib.ode import (
    Attempt,
    Controller,
    ControlState,
    Flow,
    FlowPoint,
    Memory,
    Stability,
    Step,
    Traits,
    hermite,
)
from equilib.options import Checked, option
from equilib_ode.adams import distances, rescaling, weight_polynomials, weights
from equilib_ode.bs3 import BS3
from equilib_ode.runge_kutta import STIFF, error_norm, inner_stages

TARGET = 0.4
"""The error, relative to the tolerance, up to which the order climbs at the start without asking."""

LEAP = 64.0
"""The most that a longer step may multiply the rounding of a difference by."""

NEEDED = 0.03
"""Part of `TARGET` beyond which the longest step would bring the error, where a higher order is needed at the start."""

FLAT = 0.9
"""Quotient of the differences of orders k and k - 2 above which they do not fall: smooth ones do where h·|λ| < 0.95."""

LARGER = 10.0
"""Quotient of differences of order k of one step and of the last above which f may have jumped."""

RESTART_AFTER = 3
"""Rejections in a row after which the history is no longer trusted."""


class History(NamedTuple):
    """What is known of each lane's steps.

    `order` is that of the next predictor, `taken` the number of accepted steps, `starting` whether order and step
    still grow at every step, `failures` the rejections in a row, all of shape (lanes,); `sizes` are those of the
    accepted steps, the last first, shape (lanes, max_order + 1).
    """

    order: np.ndarray
    taken: np.ndarray
    starting: np.ndarray
    failures: np.ndarray
    sizes: np.ndarray


@dataclass(frozen=True)
class StepwiseController:
    """Lengthen the step by one of a few factors, keep it, or shorten it: high orders need a history of equal steps.

    After Shampine & Gordon's STEP, which only doubles. With the error E of a step of order k, and θ = `target`:
    multiplied by the largest r of `growths` with E r^(k+1) ≤ θ and r^k ≤ `leap`, since a difference of order k
    multiplies the rounding of earlier ones by r^k; else kept where E ≤ `keep`, else multiplied by (θ/E)^(1/(k+1)),
    between 1/2 and `cut`; halved after a rejection. Long leaps belong to the low orders of the start.
    """

    growths: tuple[float, ...] = (1.3, 1.7, 2.5, 4.0, 8.0)
    target: float = 0.45
    keep: float = 0.5
    cut: float = 0.85
    leap: float = LEAP

    def factor(
        self, error: np.ndarray, accepted: np.ndarray, state: ControlState, order: np.ndarray | int
    ) -> np.ndarray:
        """Return new step size / old step size, shape (lanes,)."""
        exponent = np.asarray(order) + 1.0
        with np.errstate(all="ignore"):
            shorter = np.clip((self.target / error) ** (1 / exponent), 0.5, self.cut)
        grown = np.where(error <= self.keep, 1.0, shorter)
        for growth in self.growths:
            allowed = (error * growth**exponent <= self.target) & (growth ** (exponent - 1) <= self.leap)
            grown = np.where(allowed, growth, grown)
        return np.where(np.isfinite(error), np.where(accepted, grown, 0.5), 0.2)


@dataclass(frozen=True)
class VCABM(Checked):
    """Variable-order Adams-Bashforth-Moulton: two evaluations per accepted step, one per rejected one."""

    max_order: int = option(12, help="limit the order of the predictor", minimum=1, maximum=12)

    order: ClassVar[int] = 2
    """The lowest order, which is that of the second step."""
    stability: ClassVar[Stability] = Stability(1.0, STIFF)
    controller: ClassVar[Controller] = StepwiseController()
    traits: ClassVar[Traits] = Traits(
        steady_controller=StepwiseController((2.0,), target=TARGET, keep=TARGET, cut=0.9, leap=np.inf)
    )
    """Shampine & Gordon's: where stability bounds the step, equal ones are best."""

    def begin(self, flow: Flow, start: FlowPoint) -> Memory:
        """Return a history of no step, of order 1."""
        ones = np.ones(flow.lanes, dtype=int)
        sizes = np.ones((flow.lanes, self.max_order + 1))
        return Memory((), History(ones, 0 * ones, ones > 0, 0 * ones, sizes))

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make the first step by Runge-Kutta, later ones by Adams' formulas, each lane by itself."""
        first = (memory.host.taken == 0) & (h != 0)
        if not first.any():
            return self._corrected(flow, start, h, memory)
        begun = self._begun(flow, start, h, memory.host)
        if (first | (h == 0)).all():
            return begun
        later = self._corrected(flow, start, np.where(first, 0.0, h), memory)
        return replace(
            later,
            y=flow.select(first, begun.y, later.y),
            error=np.where(first, begun.error, later.error),
            order=np.where(first, begun.order, later.order),
            memory=Memory(later.memory.arrays, _chosen(first, begun.memory.host, later.memory.host)),
        )

    def _begun(self, flow: Flow, start: FlowPoint, h: np.ndarray, history: History) -> Attempt:
        """Return a first step, after which the predictor has order 2."""
        stages, y = inner_stages(flow, BS3, start, h)
        end = flow(start.t + h, y)
        error = error_norm(flow, BS3, start, h, (*stages, end), y)
        order, starting = np.full_like(history.order, min(2, self.max_order)), error <= TARGET * 0.5**BS3.order
        host = History(order, history.taken + 1, starting, 0 * history.failures, _after(h, history.sizes))
        return Attempt(y=y, error=error, order=2, stages=(end,), memory=Memory((start.dy,), host))

    def _corrected(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Predict, evaluate, correct; estimate the error of this order and of its neighbours."""
        history: History = memory.host
        k, highest = history.order, int(history.order.max())
        d = distances(history.sizes.T)
        beta, g = rescaling(h, d, highest + 1), weights(h, d, highest + 2)
        differences = _differences(start.dy, memory.arrays, highest + 1)
        stars = [phi * flow.coefficient(b) for phi, b in zip(differences, beta, strict=False)]
        predicted = flow.combine(start.y, h, [np.where(j < k, g[j], 0.0) for j in range(highest)], stars[:highest])
        new = _differences(flow(start.t + h, predicted), stars, highest + 2)
        y = flow.combine(predicted, h, [np.where(j == k, g[j], 0.0) for j in range(len(new))], new)

        def error(shift: int) -> np.ndarray:
            at = [np.where(j == k + shift, g[j] - g[max(j - 1, 0)], 0.0) for j in range(len(new))]
            return flow.error_norm(flow.sum(h, at, new), start, y)

        unknown = np.full(k.shape, np.inf)
        errors = [error(0), *((error(-2), error(-1)) if highest > 1 else (unknown, unknown)), error(1)]
        following = self._next_order(history, errors, h)
        # Where f jumps differences of all orders are as large, and larger than before: what is corrected may be wrong.
        moulton = [abs(g[j] - g[max(j - 1, 0)]) for j in range(len(g))]
        own, two_below = (np.choose(np.maximum(k - shift, 1), moulton) for shift in (0, 2))
        flat = (k > 3) & (own > 0) & (errors[0] * two_below >= FLAT * errors[1] * own)
        seen = errors[0]
        if flat.any():
            before = [np.where(j == k, own, 0.0) for j in range(len(stars))]
            known = flow.error_norm(flow.sum(h, before, stars), start, y)
            share = np.choose(k, g) / np.where(flat, own, 1.0)
            seen = seen * np.where(flat & (seen > LARGER * known), share, 1.0)
        stages = (*stars[:highest], *new[1 : highest + 1])
        kept = Memory(tuple(stars), following._replace(sizes=_after(h, history.sizes)))
        return Attempt(y=y, error=seen, order=k, stages=stages, memory=kept)

    def _next_order(self, history: History, errors: Sequence[np.ndarray], h: np.ndarray) -> History:
        """Choose the order as Shampine & Gordon do, for a step that is accepted."""
        k = history.order
        here, two_below, below, above = errors
        # Only after k + 1 equal steps do the neighbours' errors tell enough to raise the order.
        equal = 1 + np.cumprod(np.abs(history.sizes.T - h) <= 1e-10 * np.abs(h), axis=0).sum(axis=0)
        settled = (equal > k) & (k <= history.taken)
        lower = np.where(k > 2, np.maximum(below, two_below) <= here, (k == 2) & (below <= 0.5 * here))
        # While the step can double, the method climbs without asking, but not before its error bounds the step:
        # differences of an order that is not needed are but rounding.
        starting = history.starting & ~lower & (here <= TARGET * 0.5 ** (k + 1.0))
        climbing = starting & (here * LEAP ** (1 + 1 / k) > NEEDED * TARGET)
        lower = lower | (~starting & settled & (k > 1) & (below <= np.minimum(here, above)))
        better = settled & (above < np.where(k > 1, here, 0.5 * here))
        higher = ~lower & (k < self.max_order) & (climbing | better)
        order = np.where(lower, k - 1, np.where(higher, k + 1, k))
        return History(order, history.taken + 1, starting, np.zeros_like(k), history.sizes)

    def advance(
        self, flow: Flow, start: FlowPoint, t: np.ndarray, attempt: Attempt, accepted: np.ndarray, memory: Memory
    ) -> tuple[FlowPoint, Memory]:
        """Evaluate at the new point; lanes that reject the step keep their differences and lower the order."""
        kept: History = attempt.memory.host
        old: History = memory.host
        failures = old.failures + 1
        lowered = np.where(failures >= RESTART_AFTER, 1, np.where(kept.order < old.order, kept.order, old.order))
        tried = attempt.error > 0  # lanes that rest have no error and no failure
        rejected = History(
            np.where(tried, lowered, old.order),
            old.taken,
            old.starting & ~tried,
            np.where(tried, failures, old.failures),
            old.sizes,
        )
        host = _chosen(accepted, kept, rejected)
        if not accepted.any():
            return start, Memory(memory.arrays, host)
        padded = (*memory.arrays, *(flow.zeros() for _ in attempt.memory.arrays))
        arrays = tuple(flow.select(accepted, *pair) for pair in zip(attempt.memory.arrays, padded, strict=False))
        y = flow.select(accepted, attempt.y, start.y)
        slope = flow(t, y) if memory.arrays else attempt.stages[0]
        return FlowPoint(t, y, flow.select(accepted, slope, start.dy)), Memory(arrays, host)

    def interpolant(self, flow: Flow, step: Step) -> list[Array]:
        """Return the integral of the polynomial through the slopes that the corrector used; at first the cubic."""
        history: History = step.memory.host
        first = history.taken == 0
        if len(step.attempt.stages) == 1:
            return hermite(flow, step)
        k, highest = history.order, int(history.order.max())
        by_power = np.stack(weight_polynomials(step.h, distances(history.sizes.T), highest + 1))
        index = np.arange(highest)[:, None, None]
        masked = np.concatenate(
            (np.where(index < k, by_power[:highest], 0.0), np.where(index + 1 == k, by_power[1:], 0.0))
        )
        found = [flow.sum(step.h, list(masked[:, power]), step.attempt.stages) for power in range(highest + 1)]
        if not first.any():
            return found
        return [flow.select(first, *pair) for pair in zip_longest(hermite(flow, step), found, fillvalue=flow.zeros())]


def _after(h: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the sizes of the last steps after one of size h."""
    return np.concatenate((h[:, None], sizes[:, :-1]), axis=1)


def _chosen(mask: np.ndarray, history: History, other: History) -> History:
    """Take the lanes where `mask`, shape (lanes,), is true from `history`, the rest from `other`."""
    pairs = zip(history, other, strict=True)
    return History(*(np.where(mask if new.ndim == 1 else mask[:, None], new, old) for new, old in pairs))


def _differences(slope: Array, stars: Sequence[Array], count: int) -> list[Array]:
    """Return φ₀, φ₁, ...: φ₀ = slope, φⱼ₊₁ = φⱼ − φ*ⱼ, at most `count` of them."""
    phi = [slope]
    for star in stars[: count - 1]:
        phi.append(phi[-1] - star)
    return phi
