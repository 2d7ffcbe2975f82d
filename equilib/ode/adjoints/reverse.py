"""Integration of an adjoint equation backward in time, from one output time to the one before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from equilib.adjoints.sensitivity import Pullback, check_pullback
from equilib.arrays import Array, Tree, array_namespace, tree_map, zeros_like
from equilib.ode.adjoints.augmented_state import is_floating
from equilib.ode.flow import ErrorNorm, lane_rms, tolerance_norm
from equilib.ode.integrate import odeint
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeSolution
from equilib.ode.trajectory import Trajectory

Slope = Callable[[float, Array], Array]
"""Maps a time on the host and a state to the state's derivative."""

Cotangents = tuple[Array, tuple[Tree, ...]]
"""Those of y and of the inputs."""


INTEGRATION = (OdeProblem, OdeSolution), "the solution"
"""What the pullback of an integration takes, as `check_pullback` is told."""


class _Timed(OdeProblem):
    """A problem whose f takes the time as a number: at single precision an array would miss the end of the interval."""

    def at(self, t: np.ndarray, y: Array) -> Array:
        return self.f(float(t[0]), y)


class Reverse:
    """Integrates backward with the integrator, the tolerances and the step limit of a forward solution.

    Parameters
    ----------
    problem : OdeProblem
    solution : OdeSolution
        The forward integration.
    cotangent : array, shape (times, batch, ...)
        Of `solution.y`. It has no natural size (a mean over the batch divides it by that), so the absolute
        tolerance is taken relative to its root mean square.

    Attributes
    ----------
    norm : callable
        The error norm for cotangents.
    """

    def __init__(self, problem: OdeProblem, solution: OdeSolution, cotangent: Array) -> None:
        check_pullback(problem, solution, cotangent, *INTEGRATION)
        self._problem, self._forward, self._cotangent = problem, solution, cotangent
        size = float(lane_rms(cotangent[None, ...], 1)[0])
        atol = solution.options.atol * (size if np.isfinite(size) and size > 0 else 1.0)
        self._options = replace(solution.options, atol=atol, per_sample=False, on_failure="record")
        self.norm: ErrorNorm = tolerance_norm(self._options.rtol, atol, 1)

    @property
    def trajectory(self) -> Trajectory:
        """The forward solution as a function of time.

        Raises
        ------
        ValueError
            If the integration was not dense.
        """
        if self._forward.trajectory is None:
            raise ValueError("this adjoint follows the forward solution backward: integrate it with dense=True")
        return self._forward.trajectory

    def pullback(
        self,
        slope: Slope,
        pack: Callable[[int, Array, tuple[Tree, ...]], Array],
        unpack: Callable[[OdeSolution, tuple[Tree, ...]], Cotangents],
        norm: ErrorNorm,
        *,
        dense: bool = False,
    ) -> Pullback[OdeSolution]:
        """Integrate from each output time to the one before, where its cotangent is added; nan where that fails.

        Parameters
        ----------
        slope : callable
        pack : callable
            Maps the index of an output time and the cotangents of y and of the inputs there to a state.
        unpack : callable
            Maps the integration of that state and the cotangents of the inputs before it to both kinds of cotangents.
        norm : callable
            The error norm of the states.
        dense : bool
            Whether `unpack` needs the trajectory.
        """
        forward, cotangent = self._forward, self._cotangent
        if not forward.success:
            return no_derivative(self._problem, forward)
        y_bar, inputs = cotangent[-1, ...], zeros(self._problem.inputs)
        solves: list[OdeSolution] = []
        for index in range(len(forward.t) - 1, 0, -1):
            state, times = pack(index, y_bar, inputs), [forward.t[index], forward.t[index - 1]]
            found = odeint(_Timed(slope), state, times, forward.integrator, self._options, dense=dense, error_norm=norm)
            solves.append(found)
            if not found.success:
                return no_derivative(self._problem, forward, tuple(solves))
            y_bar, inputs = unpack(found, inputs)
            y_bar = y_bar + cotangent[index - 1, ...]
        return Pullback(inputs=inputs, start=y_bar, solves=tuple(solves))


def zeros(inputs: tuple[Tree, ...]) -> tuple[Tree, ...]:
    """Return zero cotangents of the inputs."""
    made: tuple[Tree, ...] = tree_map(zeros_like, inputs)
    return made


def no_derivative(
    problem: OdeProblem, solution: OdeSolution, solves: tuple[OdeSolution, ...] = ()
) -> Pullback[OdeSolution]:
    """Return nan for everything: what did not reach the end has no derivative."""

    def nan(leaf: Array) -> Array:
        xp = array_namespace(leaf)
        return xp.full_like(leaf, float("nan")) if is_floating(leaf) else xp.zeros_like(leaf)

    return Pullback(inputs=tree_map(nan, problem.inputs), start=nan(solution.y[0, ...]), solves=solves)
