"""The adjoint equation for λ alone, and the integral for the parameters by Gauss's quadrature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from equilib.arrays import Array
from equilib.arrays.trees import Tree, tree_map
from equilib.ode.adjoints.packing import Packing, is_floating
from equilib.ode.adjoints.protocol import OdePullback, no_derivative
from equilib.ode.adjoints.reverse import Reverse
from equilib.ode.flow import time_like
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeSolution
from equilib.options import Checked, option


@dataclass(frozen=True)
class Gauss(Checked):
    """Integrate λ' = −(∂f/∂y)ᵀ λ backward; then θ̄ = ∫ (∂f/∂θ)ᵀ λ dt by Gauss's quadrature on each of its steps.

    The cotangents of the parameters are computed at `nodes` points of a step instead of at each stage, and are no
    part of the state: cheaper than `Interpolating` where there are many parameters.
    """

    needs_trajectory: ClassVar[bool] = True
    needs_states: ClassVar[bool] = False

    nodes: int = option(3, help="points of a step at which the integrand is evaluated", minimum=1)

    def pullback(self, problem: OdeProblem, solution: OdeSolution, cotangent: Array) -> OdePullback:
        """Return the cotangents of y(t₀) and of the inputs."""
        problem = problem.fresh()
        trajectory = solution.trajectory
        if trajectory is None or not solution.success:
            return no_derivative(problem, solution)
        reverse = Reverse(solution, cotangent)

        def slope(t: float, adjoint: Array) -> Array:
            y = trajectory(t)
            return -problem.linearize(time_like(np.asarray([t]), y), y).vjp(adjoint)

        adjoint, inputs = cotangent[-1, ...], Packing(solution.y[0, ...], 1, problem.inputs).zeros()
        for index in range(len(solution.t) - 1, 0, -1):
            found = reverse(slope, adjoint, index, reverse.norm, dense=True)
            if not found.success:
                return no_derivative(problem, solution, tuple(reverse.solutions))
            inputs = self._integrate(problem, solution, found, inputs)
            adjoint = found.y[-1, ...] + cotangent[index - 1, ...]
        return OdePullback(
            y0=adjoint, inputs=inputs, nfe=problem.nfe, nvjp=problem.nvjp, reverse=tuple(reverse.solutions)
        )

    def _integrate(
        self, problem: OdeProblem, solution: OdeSolution, reverse: OdeSolution, total: tuple[Tree, ...]
    ) -> tuple[Tree, ...]:
        """Add the integral over the steps of one backward integration to `total`."""
        assert solution.trajectory is not None  # checked by the caller
        assert reverse.trajectory is not None  # asked for
        nodes, weights = np.polynomial.legendre.leggauss(self.nodes)
        for segment in reverse.trajectory.segments:
            later, earlier = float(segment.t0[0]), float(segment.t1[0])
            for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
                t = 0.5 * (later + earlier) + 0.5 * node * (later - earlier)
                y, adjoint = solution.trajectory(t), segment(reverse.trajectory.flow, np.asarray([t]))
                _, here = problem.linearize(time_like(np.asarray([t]), y), y).pull(adjoint)
                share = 0.5 * weight * (later - earlier)
                total = tree_map(lambda whole, part, share=share: _plus(whole, share, part), total, here)
        return total


def _plus(whole: Array, share: float, part: Array) -> Array:
    """Return whole + share · part; an integer input has no cotangent and stays as it is."""
    return whole + share * part if is_floating(whole) else whole
