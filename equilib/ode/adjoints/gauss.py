"""The adjoint equation for λ alone, and the integral for the parameters by Gauss's quadrature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from equilib.adjoints.sensitivity import Needs
from equilib.arrays import Array, Tree, tree_map
from equilib.ode.adjoints.augmented_state import is_floating
from equilib.ode.adjoints.reverse import (
    BackwardAdjoint,
    Equation,
    Interval,
    Reach,
    along_the_solution,
    linear_near,
)
from equilib.ode.flow import ErrorNorm
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeSolution
from equilib.ode.trajectory import Trajectory
from equilib.options import option


@dataclass(frozen=True)
class Gauss(BackwardAdjoint):
    """Integrate λ' = −(∂f/∂y)ᵀ λ backward; then θ̄ = ∫ (∂f/∂θ)ᵀ λ dt by Gauss's quadrature on each of its steps.

    The cotangents of the parameters are computed at `nodes` points of a step instead of at each stage, and are no
    part of the state: cheaper than `Interpolating` where there are many parameters.
    """

    needs = Needs(trajectory=True)
    dense = True

    nodes: int = option(3, help="evaluate the integrand at so many points of a step", minimum=1)

    def equation(self, problem: OdeProblem, solution: OdeSolution, norm: ErrorNorm, interval: Interval) -> Equation:
        """Return the equation of λ."""
        linearized = along_the_solution(problem, solution, interval)
        reach = interval.reach(solution.trajectory)

        def integrand(s: float, adjoint: Array) -> tuple[Tree, ...]:
            return linearized(s).inputs_vjp(interval.paced(adjoint))

        return Equation(
            linear_near(linearized, lambda linear, adjoint: -linear.vjp(interval.paced(adjoint))),
            lambda _, adjoint, inputs: adjoint,
            lambda found, inputs: (found.y[-1, ...], self._integrate(integrand, reach, found.trajectory, inputs)),
            norm,
        )

    def _integrate(
        self,
        integrand: Callable[[float, Array], tuple[Tree, ...]],
        reach: Reach,
        reverse: Trajectory,
        total: tuple[Tree, ...],
    ) -> tuple[Tree, ...]:
        """Add the integral over the steps of one backward integration to `total`."""
        nodes, weights = np.polynomial.legendre.leggauss(self.nodes)
        for segment in reverse.segments:
            for later, earlier in _pieces(float(segment.t0[0]), float(segment.t1[0]), reach):
                for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
                    s = later + 0.5 * (node - 1) * (later - earlier)
                    here = integrand(s, segment(reverse.flow, np.asarray([s])))
                    share = 0.5 * weight * (later - earlier)
                    total = tree_map(lambda whole, part, share=share: _plus(whole, share, part), total, here)
        return total


def _pieces(later: float, end: float, reach: Reach) -> Iterator[tuple[float, float]]:
    """Yield the parts, from the later time to the earlier one, of a step in which f may change more than λ does."""
    while later != end:
        step = reach(later)
        earlier = end if step >= abs(later - end) else later + float(np.copysign(step, end - later))
        yield later, earlier
        later = earlier


def _plus(whole: Array, share: float, part: Array) -> Array:
    """Return whole + share · part; an integer input has no cotangent and stays as it is."""
    return whole + share * part if is_floating(whole) else whole
