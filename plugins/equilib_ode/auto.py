"""Switching between an explicit and an implicit method by the stiffness that each sample shows.

Where the accepted steps are as long as stability lets an explicit method take, its errors would allow longer ones: the
equation is stiff. E. Hairer & G. Wanner, Solving Ordinary Differential Equations II, §IV.2: with g₆ and g₇ the last two
places, both at t + h, at which a step of order 5 evaluates f, h ‖f(g₇) − f(g₆)‖ / ‖g₇ − g₆‖ is h times the size of the
dominant eigenvalue. While the method is implicit the power method tells it, with a product J·v a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from equilib.arrays import Array
from equilib.ode import Attempt, Controller, Flow, FlowPoint, Memory, Step, Traits
from equilib.ode.newton import Implicit, Jacobian, inverted
from equilib_ode.kencarp47 import KENCARP47, KenCarp47
from equilib_ode.tsit5 import TSIT5, Tsit5

LIMIT = 3.5
"""Length of the stability interval of tsit5 on the negative real axis."""

STIFF, MILD = 0.9, 0.3
"""Parts of `LIMIT` above which h ρ is a sign of stiffness, and below which one that an explicit method can do."""

STIFF_STEPS, MILD_STEPS = 10, 5
"""Signs in a row after which the method changes."""


class Mode(NamedTuple):
    """The method of each lane, `stiff` for the implicit one, and the signs in a row for the other, shape (lanes,)."""

    stiff: np.ndarray
    signs: np.ndarray


class Cache(NamedTuple):
    """That of the implicit method, and the vector of the power method."""

    implicit: Memory
    vector: Array


@dataclass(frozen=True)
class Auto(Implicit):
    """tsit5, or kencarp47 where a lane is stiff."""

    order: ClassVar[int] = 4
    """That of the implicit method; the explicit one has a higher one."""
    controller: ClassVar[Controller] = KenCarp47.controller
    traits: ClassVar[Traits] = Traits(solves_slopes=True)

    def begin(self, flow: Flow, start: FlowPoint) -> Memory:
        """Return the explicit method for all lanes."""
        return Memory((), Mode(np.zeros(flow.lanes, dtype=bool), np.zeros(flow.lanes, dtype=int)))

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step of size h by the method of each lane."""
        mode: Mode = memory.host
        stiff, cache = mode.stiff, memory.cache or Cache(Memory(), flow.constant(start.dy))
        found, rate, rest = [], np.zeros(flow.lanes), np.zeros(flow.lanes)
        if not stiff.all():
            found.append(Tsit5().attempt(flow, start, np.where(stiff, rest, h), Memory()))
            rate = _by_stages(flow, start, h, found[0])
        if stiff.any():
            method = KenCarp47(linear_solver=self.linear_solver, largest=self.largest)
            found.append(method.attempt(flow, start, np.where(stiff, h, rest), cache.implicit))
            size, vector = _by_power(flow, start, found[-1].memory.cache.jacobian, cache.vector)
            rate, cache = np.where(stiff, np.abs(h) * size, rate), Cache(found[-1].memory, vector)
        first, last = found[0], found[-1]
        return Attempt(
            y=flow.select(stiff, last.y, first.y),
            error=np.where(stiff, last.error, first.error),
            order=np.where(stiff, KENCARP47.order, TSIT5.order),
            stages=tuple(stage for each in found for stage in each.stages),
            memory=Memory((), self._signs(mode, rate), cache),
        )

    def _signs(self, mode: Mode, rate: np.ndarray) -> Mode:
        """Return the mode after a step that was accepted, by its h ρ."""
        sign = np.where(mode.stiff, rate < MILD * LIMIT, rate > STIFF * LIMIT)
        signs = np.where(sign, mode.signs + 1, 0)
        change = signs >= np.where(mode.stiff, MILD_STEPS, STIFF_STEPS)
        return Mode(mode.stiff ^ change, np.where(change, 0, signs))

    def advance(
        self, flow: Flow, start: FlowPoint, t: np.ndarray, attempt: Attempt, accepted: np.ndarray, memory: Memory
    ) -> tuple[FlowPoint, Memory]:
        """Take the last stage as the derivative at the new point; lanes that reject the step keep their method."""
        explicit, implicit = _stages(memory, attempt)
        dy = flow.select(memory.host.stiff, (implicit or explicit)[-1], (explicit or implicit)[-1])
        host = Mode(*(np.where(accepted, *pair) for pair in zip(attempt.memory.host, memory.host, strict=True)))
        point = FlowPoint(t, flow.select(accepted, attempt.y, start.y), flow.select(accepted, dy, start.dy))
        return point, attempt.memory._replace(host=host)

    def interpolant(self, flow: Flow, step: Step) -> list[Array]:
        """Return the interpolant of each lane's method."""
        found = [
            [flow.sum(step.h, weights, stages) for weights in np.asarray(tableau.interpolant).T.tolist()]
            for tableau, stages in zip((TSIT5, KENCARP47), _stages(step.memory, step.attempt), strict=True)
            if stages
        ]
        return [flow.select(step.memory.host.stiff, *pair) for pair in zip(found[-1], found[0], strict=True)]


def _stages(memory: Memory, attempt: Attempt) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Return the stages of the explicit and of the implicit method, none where no lane uses it."""
    stiff, count = memory.host.stiff, len(TSIT5.error)
    explicit = () if stiff.all() else attempt.stages[:count]
    return explicit, attempt.stages[len(explicit) :]


def _by_stages(flow: Flow, start: FlowPoint, h: np.ndarray, attempt: Attempt) -> np.ndarray:
    """Return h ρ by the last two stages of a step of tsit5, shape (lanes,); 0 where they do not tell."""
    stages = attempt.stages
    place = flow.combine(start.y, h, TSIT5.a[-2], stages[:-2])
    change = flow.error_norm(stages[-1] - stages[-2], start, attempt.y)
    return np.abs(h) * _ratio(change, flow.error_norm(attempt.y - place, start, attempt.y))


def _by_power(flow: Flow, start: FlowPoint, jacobian: Jacobian, vector: Array) -> tuple[np.ndarray, Array]:
    """Return ‖J v‖ / ‖v‖, shape (lanes,), and J v of the size of v, of the shape of y."""
    product = jacobian.product(vector)
    size = _ratio(*(flow.error_norm(each, start, start.y) for each in (product, vector)))
    return size, flow.select(size > 0, product * flow.coefficient(inverted(size)), flow.constant(start.dy))


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    usable = np.isfinite(a) & np.isfinite(b) & (b > 0)
    return np.where(usable, a, 0.0) / np.where(usable, b, 1.0)
