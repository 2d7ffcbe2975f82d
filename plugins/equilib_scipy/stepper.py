"""A time stepper of `scipy.integrate`."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib.ode import Interpolant

STEP_RTOL = 100 * float(np.finfo(np.float64).eps)
"""SciPy's least relative tolerance."""


class ScipyStepper:
    """A `scipy.integrate.OdeSolver` as a `TimeStepper`."""

    def __init__(self, solver: Any) -> None:
        self._solver = solver

    def step(self) -> str | None:
        """Make a step; return why, if there can be none."""
        message = self._solver.step()
        return str(message) if self._solver.status == "failed" else None

    @property
    def t(self) -> float:
        """The time after the last step."""
        return float(self._solver.t)

    @property
    def y(self) -> np.ndarray:
        """The solution after the last step."""
        return np.asarray(self._solver.y)

    @property
    def step_size(self) -> float:
        """Size of the last step."""
        return float(self._solver.step_size)

    def interpolant(self) -> Interpolant:
        """Return SciPy's dense output of the last step."""
        dense = self._solver.dense_output()
        return lambda t: np.asarray(dense(t))
