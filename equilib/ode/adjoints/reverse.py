"""Integration of an adjoint equation backward in time, from one output time to the one before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equilib.arrays import Array
from equilib.ode.flow import ErrorNorm, lane_rms, tolerance_norm
from equilib.ode.integrate import odeint
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeSolution

Slope = Callable[[float, Array], Array]
"""Maps a time on the host and a state to the state's derivative."""


class _Timed(OdeProblem):
    """A problem whose f takes the time as a number: at single precision an array would miss the end of the interval."""

    def __init__(self, slope: Slope) -> None:
        super().__init__(slope)
        self._slope = slope

    def fresh(self) -> _Timed:
        return _Timed(self._slope)

    def at(self, t: np.ndarray, y: Array) -> Array:
        self.nfe += 1
        return self._slope(float(t[0]), y)


class Reverse:
    """Integrates backward with the integrator, the tolerances and the step limit of a forward solution.

    Parameters
    ----------
    solution : OdeSolution
        The forward integration.
    cotangent : array, shape (times, batch, ...)
        Of `solution.y`. It has no natural size (a mean over the batch divides it by that), so the absolute
        tolerance is taken relative to its root mean square.

    Attributes
    ----------
    solutions : list of OdeSolution
    """

    def __init__(self, solution: OdeSolution, cotangent: Array) -> None:
        self._forward = solution
        self.solutions: list[OdeSolution] = []
        size = float(lane_rms(cotangent[None, ...], 1)[0])
        self._size = size if np.isfinite(size) and size > 0 else 1.0

    @property
    def norm(self) -> ErrorNorm:
        """The error norm for cotangents."""
        options = self._forward.options
        return tolerance_norm(options.rtol, options.atol * self._size, 1)

    def __call__(
        self, slope: Slope, state: Array, index: int, error_norm: ErrorNorm, *, dense: bool = False
    ) -> OdeSolution:
        """Integrate `state` from output time `index` to the one before; failures are recorded."""
        forward = self._forward
        found = odeint(
            _Timed(slope),
            state,
            [forward.t[index], forward.t[index - 1]],
            forward.integrator,
            rtol=forward.options.rtol,
            atol=forward.options.atol * self._size,
            max_steps=forward.options.max_steps,
            first_step=forward.options.first_step,
            on_failure="record",
            error_norm=error_norm,
            dense=dense,
        )
        self.solutions.append(found)
        return found
