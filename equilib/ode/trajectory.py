"""The solution of an initial value problem as a function of time: a polynomial for each step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from typing import Protocol

import numpy as np

from equilib.arrays import Array, Tree, array_namespace, take_rows
from equilib.ode.flow import Flow
from equilib.ode.times import query_times


@dataclass(frozen=True)
class Piece(ABC):
    """The solution in one step of each lane, from t₀ to t₁, shape (lanes,); t₀ = t₁ in lanes that rest.

    `y0` is like y, where the step began.
    """

    t0: np.ndarray
    t1: np.ndarray
    y0: Array = field(repr=False)

    @abstractmethod
    def __call__(self, flow: Flow, t: np.ndarray) -> Array:
        """Return y at the times t, shape (lanes,)."""


@dataclass(frozen=True)
class Segment(Piece):
    """One step: y(t₀ + θ (t₁ − t₀)) = y₀ + θ Q₁ + θ² Q₂ + ...; t₀ = t₁ in lanes that rejected it."""

    coefficients: list[Array] = field(repr=False)

    def __call__(self, flow: Flow, t: np.ndarray) -> Array:
        """Return y at the times t, shape (lanes,)."""
        length = self.t1 - self.t0
        moving = length != 0
        theta = np.where(moving, (t - self.t0) / np.where(moving, length, 1.0), 0.0)
        powers = [theta**power for power in range(1, len(self.coefficients) + 1)]
        return flow.combine(self.y0, np.ones(flow.lanes), powers, self.coefficients)

    def until(self, flow: Flow, limit: np.ndarray) -> Segment:
        """Return the step as far as the times `limit`, shape (lanes,), whole where that is nan."""
        length, ends = self.t1 - self.t0, np.isnan(limit)
        t1 = np.where(ends, self.t1, limit)
        share = np.where(ends, 1.0, (t1 - self.t0) / np.where(ends, 1.0, length))
        shares = [flow.coefficient(share**power) for power in range(1, len(self.coefficients) + 1)]
        return Segment(self.t0, t1, self.y0, [q * each for q, each in zip(self.coefficients, shares, strict=True)])


class Unpacks(Protocol):
    """**Protocol:** the way from an array, shape (..., batch, size), to a tree of arrays, shape (..., batch, ...)."""

    def unpack(self, packed: Array) -> Tree:
        """Return the tree."""


@dataclass(frozen=True)
class Trajectory:
    """y(t) on the interval that was integrated: as accurate as the integrator's interpolant."""

    segments: Sequence[Piece] = field(repr=False)
    flow: Flow = field(repr=False)
    tree: Unpacks | None = field(default=None, repr=False)
    """What makes a tree of the array that y is packed into, where the state is one."""

    @cached_property
    def _grid(self) -> tuple[np.ndarray, np.ndarray, float, list[float]]:
        """Where each segment begins and ends, which way the first lane goes, and how far it is after each."""
        starts, ends = (np.stack(times) for times in zip(*((each.t0, each.t1) for each in self.segments), strict=True))
        direction = float(np.sign(ends[-1, 0] - starts[0, 0]))
        return starts, ends, direction, (direction * ends[:, 0]).tolist()

    def boundaries(self) -> list[np.ndarray]:
        """Return the times at which steps of each lane begin or end, shape (count,), in ascending order."""
        starts, ends, *_ = self._grid
        return [np.unique(times) for times in np.concatenate((starts[:1], ends)).T]

    def __call__(self, t: float | np.ndarray) -> Tree:
        """Return y at a time, shape (batch, ...), or at times, shape (times, batch, ...).

        These have the shape (times,), or, where samples step by themselves, (times, batch). Raises ValueError if they
        are no times, or some sample was not integrated as far as t.
        """
        times = query_times(t, self.flow.lanes)
        if not times.ndim:
            y = self.at(times[None])
        else:
            rows = [self.at(np.atleast_1d(row)) for row in times] or [self.flow.zeros()]
            y = array_namespace(rows[0]).stack(rows)[: len(times), ...]
        return y if self.tree is None else self.tree.unpack(y)

    def at(self, t: np.ndarray) -> Array:
        """Return y at the times t of the lanes, shape (lanes,) or (1,); raises what a call does."""
        starts, ends, direction, way = self._grid
        # An adjoint asks for thousands of times, as a rule where the batch steps as one.
        if self.flow.lanes == 1 and direction * (t[0] - starts[0, 0]) > 0:
            place = bisect_left(way, direction * t[0])
            if place < len(way):
                return self.segments[place](self.flow, t)
        t = np.broadcast_to(t, self.flow.lanes)
        reached = (np.minimum(starts, ends) <= t) & (t <= np.maximum(starts, ends))
        if not reached.any(axis=0).all():
            lane = int(np.argmin(reached.any(axis=0)))
            raise ValueError(
                f"t = {t[lane]} is not between {starts[0, lane]} and {ends[-1, lane]}, where there is a solution"
            )
        index = np.argmax(reached, axis=0)
        if (index == index[0]).all():
            return self.segments[index[0]](self.flow, t)
        if self._polynomials:
            lanes = np.arange(self.flow.lanes)
            y0, *powers = (take_rows(each, index * len(lanes) + lanes) for each in self._polynomials)
            return Segment(starts[index, lanes], ends[index, lanes], y0, powers)(self.flow, t)
        value = self.segments[index[0]](self.flow, t)
        for other in np.unique(index[index != index[0]]):
            value = self.flow.select(index == other, self.segments[other](self.flow, t), value)
        return value

    @cached_property
    def _polynomials(self) -> list[Array]:
        """Return y₀, Q₁, Q₂, ... of all steps in a row, shape (steps · batch, ...); nothing for pieces of other kinds.

        An adjoint asks for thousands of times, each in a dozen of steps where samples step by themselves.
        """
        pieces = [each for each in self.segments if isinstance(each, Segment)]
        if len(pieces) < len(self.segments):
            return []
        xp, zeros = array_namespace(pieces[0].y0), self.flow.zeros()
        by_power = zip_longest(*(each.coefficients for each in pieces), fillvalue=zeros)
        return [xp.concat(arrays, axis=0) for arrays in ([each.y0 for each in pieces], *map(list, by_power))]
