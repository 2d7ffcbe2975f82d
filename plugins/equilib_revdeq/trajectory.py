"""Steps of the reversible relaxation, forward and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import log
from typing import NamedTuple

import numpy as np

from equilib import FixedPointProblem
from equilib.arrays import Array, Tree, array_namespace, host_norm, tree_map, where_samples, zeros_like
from equilib_revdeq.words import Words, precision, relaxed, rounded, where_words, widened

DRIFT = 100.0
"""Roundings of z by which states computed backward may miss those computed forward."""

NEIGHBOURS = 1 / 32
"""Share of the rounding of z that states computed backward may be off by: a few of millions of elements then round to
the other neighbour, and f is evaluated there."""


@dataclass(frozen=True)
class ReversibleState:
    """The iterate z, shape (batch, ...), f(z), both states, of which z is the second, and 1 − β.

    Those of a finished sample stay as they are.
    """

    z: Array
    value: Array = field(repr=False)
    first: Words = field(repr=False)
    second: Words = field(repr=False)
    share: float

    @cached_property
    def residual(self) -> Array:
        """f(z) − z, shape (batch, ...)."""
        return self.value - self.z


class Point(NamedTuple):
    """Both states after `number` steps, or after as many as a sample has taken where these are fewer."""

    number: int
    first: Words
    second: Words


class Cotangents(NamedTuple):
    """Cotangents of both states, arrays (batch, ...), and of the inputs, None before any step."""

    first: Array
    second: Array
    inputs: Tree = None


@dataclass(frozen=True)
class Trajectory:
    """Steps of f from `z0`, `steps` for each sample, ndarray of int, shape (batch,), with 1 − β = `share`.

    A sample that takes no part in a step has f evaluated at `rest`, where that and its derivative are finite.
    """

    problem: FixedPointProblem
    steps: np.ndarray
    share: float
    z0: Array
    rest: Array

    @property
    def start(self) -> Point:
        """Both states at the initial guess."""
        begin = widened(self.z0)
        return Point(0, begin, begin)

    @property
    def length(self) -> int:
        """The most steps of a sample."""
        return int(np.max(self.steps, initial=0))

    @property
    def precision(self) -> float:
        """The rounding of z, relative to its size."""
        return float(array_namespace(self.z0).finfo(self.z0.dtype).eps)

    @property
    def reach(self) -> int:
        """How many steps back magnify the rounding of words to a share of that of z, by 1/(1 − β)² each.

        That is the most where f contracts and J is normal: the eigenvalues of a step have the product (1 − β)².
        """
        allowed = NEIGHBOURS * self.precision / precision(len(self.start.first))
        return max(int(log(allowed) / (-2 * log(self.share))), 1)

    def forward(self, point: Point, count: int) -> Point:
        """Take `count` steps."""
        number, first, second = point
        end = min(number + count, self.length)
        for n in range(number, end):
            active = self.steps > n
            first = where_words(active, relaxed(first, self.problem(self._at(active, second)), self.share), first)
            second = where_words(active, relaxed(second, self.problem(self._at(active, first)), self.share), second)
        return Point(end, first, second)

    def back(self, point: Point, bar: Cotangents) -> tuple[Point, Cotangents]:
        """Take a step back, with the cotangents of the states."""
        number, y, z = point.number - 1, point.first, point.second
        active = self.steps > number
        # z' = (1 − β) z + β f(y')
        value, bar = self._pulled(active, y, bar)
        z = where_words(active, relaxed(z, value, 1 / self.share), z)
        # y' = (1 − β) y + β f(z)
        value, bar = self._pulled(active, z, Cotangents(bar.second, bar.first, bar.inputs))
        y = where_words(active, relaxed(y, value, 1 / self.share), y)
        return Point(number, y, z), Cotangents(bar.second, bar.first, bar.inputs)

    def _pulled(self, active: np.ndarray, at: Words, bar: Cotangents) -> tuple[Array, Cotangents]:
        """Return f(at), and the cotangents before second ← (1 − β) second + β f(first)."""
        linear = self.problem.linearize(self._at(active, at))
        w = where_samples(active, (1 - self.share) * bar.second, zeros_like(bar.second))
        through, inputs = linear.pull(w)
        total = inputs if bar.inputs is None else tree_map(lambda one, other: one + other, bar.inputs, inputs)
        first = where_samples(active, bar.first + through, bar.first)
        return linear.value, Cotangents(first, where_samples(active, self.share * bar.second, bar.second), total)

    def _at(self, active: np.ndarray, state: Words) -> Array:
        return where_samples(active, rounded(state, self.rest), self.rest)

    def agree(self, one: Point, other: Point) -> bool:
        """Whether the states are the same to `DRIFT` roundings, in every sample that has taken steps."""
        gaps = (host_norm(a[0] - b[0]) for a, b in zip(one[1:], other[1:], strict=True))
        allowed = DRIFT * self.precision * (host_norm(self.rest) + host_norm(self.z0))
        return bool(np.all((sum(gaps) <= allowed) | (self.steps == 0)))
