"""The adjoint equation along the interpolated forward solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from equilib.arrays import Array
from equilib.ode.adjoints.packing import Packing
from equilib.ode.adjoints.protocol import OdePullback, no_derivative
from equilib.ode.adjoints.reverse import Reverse
from equilib.ode.flow import time_like
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeSolution


@dataclass(frozen=True)
class Interpolating:
    """Integrate λ' = −(∂f/∂y)ᵀ λ and θ̄' = −(∂f/∂θ)ᵀ λ backward, with y(t) from the forward interpolant.

    Robust, as y is not integrated backward. It keeps the forward trajectory, and its accuracy is that of the
    tolerance and of the interpolant.
    """

    needs_trajectory: ClassVar[bool] = True
    needs_states: ClassVar[bool] = False

    def pullback(self, problem: OdeProblem, solution: OdeSolution, cotangent: Array) -> OdePullback:
        """Return the cotangents of y(t₀) and of the inputs."""
        problem = problem.fresh()
        trajectory = solution.trajectory
        if trajectory is None or not solution.success:
            return no_derivative(problem, solution)
        like = solution.y[0, ...]
        packing = Packing(like, 1, problem.inputs)
        reverse = Reverse(solution, cotangent)

        def slope(t: float, state: Array) -> Array:
            (adjoint,) = packing.states(state)
            y = trajectory(t)
            y_bar, inputs_bar = problem.linearize(time_like(np.asarray([t]), y), y).pull(adjoint)
            return -packing.pack((y_bar,), inputs_bar)

        adjoint, inputs = cotangent[-1, ...], packing.zeros()
        for index in range(len(solution.t) - 1, 0, -1):
            found = reverse(slope, packing.pack((adjoint,), inputs), index, packing.seminorm(reverse.norm))
            if not found.success:
                return no_derivative(problem, solution, tuple(reverse.solutions))
            (adjoint,), inputs = packing.states(found.y[-1, ...]), packing.cotangents(found.y[-1, ...])
            adjoint = adjoint + cotangent[index - 1, ...]
        return OdePullback(
            y0=adjoint, inputs=inputs, nfe=problem.nfe, nvjp=problem.nvjp, reverse=tuple(reverse.solutions)
        )
