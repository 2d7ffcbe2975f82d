"""Grids of output times: others between them, and rows of the solution from one grid to another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equilib.arrays import Array, array_namespace, where_samples, zeros_like


def ordered(times: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return output times, shape (times, lanes), with others, (others,) or (others, lanes), between them in order.

    Others that are outside of a lane's interval, or nan, are at its end, which may be more than once then; so each row
    has a time for every lane.
    """
    start, end = times[0], times[-1]
    direction = np.where(end >= start, 1.0, -1.0)
    columns = others[:, None] if others.ndim == 1 else others
    inside = (direction * (columns - start) > 0) & (direction * (end - columns) > 0)
    rows = np.sort(direction * np.concatenate((times, np.where(inside, columns, end))), axis=0) * direction
    changed = np.any(rows[1:] != rows[:-1], axis=1)
    return rows[np.concatenate(([True], changed if changed.any() else np.arange(len(changed)) == 0))]


@dataclass(frozen=True)
class Subgrid:
    """Output times among those of a finer grid, both of shape (times,) or (times, batch).

    A time that is not among them, such as nan, has the solution at the end of the grid, and no cotangent.
    """

    times: np.ndarray
    finer: np.ndarray

    @classmethod
    def joined(cls, times: np.ndarray, others: Sequence[float] | np.ndarray) -> Subgrid:
        """Return output times among themselves and others, which are ordered as `ordered` has it."""
        if not len(others):
            return cls(times, times)
        columns, others = times.reshape(len(times), -1), np.asarray(others)
        return cls(times, ordered(columns, others).reshape(-1, *times.shape[1:]))

    @cached_property
    def _places(self) -> np.ndarray:
        """The rows of the times in the finer grid, shape (times, 1) or (times, batch); −1 where there is none."""
        columns, finer = (each.reshape(len(each), -1) for each in (self.times, self.finer))
        equal = columns[:, None, :] == finer[None, :, :]
        return np.where(equal.any(axis=1), np.argmax(equal, axis=1), -1)

    def take(self, rows: Array, select: Callable[[np.ndarray, Array, Array], Array] = where_samples) -> Array:
        """Return the solution at the times, given that on the finer grid, both of shape (times, batch, ...).

        `select` is another `where_samples` where they are traced.
        """
        if self.finer is self.times:
            return rows
        taken = []
        for places in self._places:
            value = rows[int(places[0]), ...]
            for place in np.unique(places[places != places[0]]).tolist():
                value = select(places == place, rows[place, ...], value)
            taken.append(value)
        return array_namespace(rows).stack(taken)

    def put(self, cotangent: Array) -> Array:
        """Return the cotangent of the solution on the finer grid, given that at the times."""
        if self.finer is self.times:
            return cotangent
        zeros = zeros_like(cotangent[0, ...])
        rows = [zeros for _ in self.finer]
        for index, places in enumerate(self._places):
            for place in np.unique(places[places >= 0]).tolist():
                mask, bar = places == place, cotangent[index, ...]
                rows[place] = rows[place] + (bar if mask.all() else where_samples(mask, bar, zeros))
        return array_namespace(cotangent).stack(rows)
