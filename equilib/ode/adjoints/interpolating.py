"""The adjoint equation along the interpolated forward solution."""

from __future__ import annotations

from dataclasses import dataclass

from equilib.adjoints.sensitivity import Needs
from equilib.arrays import Array
from equilib.fixed_points.linearization import Linearization
from equilib.ode.adjoints.augmented_state import Packing
from equilib.ode.adjoints.reverse import (
    BackwardAdjoint,
    Equation,
    Interval,
    along_the_solution,
    linear_near,
)
from equilib.ode.flow import ErrorNorm
from equilib.ode.library import LibraryIntegrator
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeSolution


@dataclass(frozen=True)
class Interpolating(BackwardAdjoint):
    """Integrate λ' = −(∂f/∂y)ᵀ λ and θ̄' = −(∂f/∂θ)ᵀ λ backward, with y(t) from the forward interpolant.

    Robust, as y is not integrated backward. It keeps the forward trajectory, and its accuracy is that of the
    tolerance and of the interpolant.
    """

    needs = Needs(trajectory=True)

    def equation(self, problem: OdeProblem, solution: OdeSolution, norm: ErrorNorm, interval: Interval) -> Equation:
        """Return the equation of λ and θ̄."""
        packing, integrator = Packing(solution.y[0, ...], 1, problem.inputs), solution.integrator

        def derivative(linear: Linearization, state: Array) -> Array:
            y_bar, inputs_bar = linear.pull(interval.paced(packing.states(state)[0]))
            return -packing.pack((y_bar,), inputs_bar)

        # A method of several steps chooses these, and its order, by how smooth what it sees is.
        whole = isinstance(integrator, LibraryIntegrator) or not integrator.traits.one_step
        return Equation(
            linear_near(along_the_solution(problem, solution, interval), derivative),
            lambda _, adjoint, inputs: packing.pack((adjoint,), inputs),
            lambda found, _: packing.unpack(found.y[-1, ...]),
            norm if whole else packing.seminorm(norm),
            reach=None if whole else interval.reach(solution.trajectory),
        )
