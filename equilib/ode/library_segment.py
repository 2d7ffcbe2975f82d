"""Steps of a library as pieces of a trajectory, and its rows as arrays like y."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from equilib.arrays import Array, coefficients, to_host
from equilib.ode.flow import Flow
from equilib.ode.library import Interpolant
from equilib.ode.trajectory import Piece


@dataclass(frozen=True)
class LibrarySegment(Piece):
    """The steps of all lanes with one number: y(t) by the library's interpolants; t₀ = t₁ in lanes that had ended."""

    interpolants: tuple[Interpolant | None, ...] = field(repr=False)

    def __call__(self, flow: Flow, t: np.ndarray) -> Array:
        """Return y at the times t, shape (lanes,); y0 in lanes that had ended, the nearer end where t is outside."""
        inside = np.clip(t, np.minimum(self.t0, self.t1), np.maximum(self.t0, self.t1))
        start = np.reshape(to_host(self.y0), (flow.lanes, -1))
        rows = [
            y0 if interpolant is None else interpolant(float(time))
            for interpolant, time, y0 in zip(self.interpolants, inside, start, strict=True)
        ]
        return lanes_like(np.stack(rows), self.y0)


def lanes_like(rows: np.ndarray, y: Array) -> Array:
    """Return rows of the lanes, shape (lanes, size), as an array like y."""
    return coefficients(rows.reshape(tuple(y.shape)), y)


def sample_like(row: np.ndarray, y: Array) -> Array:
    """Return the row of a sample, shape (size,), as an array like a sample of y."""
    return coefficients(row.reshape(tuple(y.shape[1:])), y)
