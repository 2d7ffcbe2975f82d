"""An integration by CVODE of scikit-sundae that is stepped."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib.ode import Interpolant, Start

NODES = 13
"""Points of a step through which its interpolating polynomial is laid: CVODE's is of degree 12 at most."""

FOREVER = 1e10
"""A time that is not reached, for an interval without an end; CVODE takes from it which way time goes."""


class CVODEStepper:
    """An integration by CVODE as a `TimeStepper`."""

    def __init__(self, solver: Any, start: Start) -> None:
        self._solver = solver
        self._solver.init_step(start.t, start.y)
        self._end = start.end if np.isfinite(start.end) else None
        self.t, self.y, self._before = start.t, start.y, start.t

    @property
    def step_size(self) -> float:
        """Size of the last step."""
        return abs(self.t - self._before)

    def step(self) -> str | None:
        """Make a step; return why, if there can be none."""
        target = FOREVER if self._end is None else self._end
        result = self._solver.step(target, method="onestep", tstop=self._end)
        if not result.success:
            return str(result.message)
        self._before, self.t, self.y = self.t, float(result.t), np.array(result.y)
        return None

    def interpolant(self) -> Interpolant:
        """Return the polynomial through CVODE's own interpolant at the Chebyshev points of the last step."""
        angles = np.pi * np.arange(NODES) / (NODES - 1)
        points = self._before + (self.t - self._before) * (1 - np.cos(angles)) / 2
        # The end last, and exactly: where CVODE answered earlier, its next step would be the way back there.
        points[-1] = self.t
        values = np.stack([self._solver.step(float(t), method="normal").y for t in points])
        weights = (-1.0) ** np.arange(NODES)
        weights[[0, -1]] /= 2

        def interpolant(t: float) -> np.ndarray:
            distances = t - points
            if not distances.all():
                return np.array(values[np.argmin(np.abs(distances))])
            ratios = weights / distances  # the barycentric formula (Berrut & Trefethen 2004, SIAM Review 46, eq. 5.4)
            return np.asarray(ratios @ values / ratios.sum())

        return interpolant
