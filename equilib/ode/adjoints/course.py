"""Course of a solution: the stretches between stops that its steps are in."""

from __future__ import annotations

import numpy as np

from equilib.ode.outputs import lane_times
from equilib.ode.solution import OdeSolution
from equilib.ode.stops import stretches


class Course:
    """The stretches of the steps of a solution, and in which of them one is now."""

    def __init__(self, solution: OdeSolution, lanes: int) -> None:
        self._steps = [record.stretch for record in solution.record]
        self._stretches = stretches(lane_times(solution.t, lanes), solution.stops)
        self._stretch = self._stretches[0]

    def enter(self, place: int) -> bool:
        """Come to the stretch of the step at `place`; tell whether that is the first one there."""
        self._stretch = self._stretches[self._steps[place]]
        return place == 0 or self._steps[place] != self._steps[place - 1]

    def inside(self, t: np.ndarray) -> np.ndarray:
        """Return the times t, shape (lanes,), within the stretch."""
        return self._stretch.inside(t)
