"""Deep equilibrium models on NumPy and CuPy, where every solver and every adjoint is a plugin.

This module is the framework-free heart: fixed points of any map on arrays of any array-API library, and their
derivatives. It loads NumPy and the standard library only. Layers and models are in `equilib.layers` and
`equilib.models`, the differentiable operations in `equilib.ops`, training in `equilib.training`, the author's side of
the plugin system in `equilib.plugin`.
"""

from equilib.convergence import SolveOptions
from equilib.fixed_point import Picard, State
from equilib.linear import GMRES, Affine
from equilib.ode import SteadyState, odeint
from equilib.problem import FixedPointProblem, Linearization
from equilib.protocols import Layer, LinearSolver, Pullback, Sensitivity, Solver, SolverState
from equilib.sensitivity import ImplicitAdjoint, JacobianFree
from equilib.solution import ConvergenceError, ConvergenceWarning, Solution, Status
from equilib.solve import solve
from equilib.unrolled import Unrolled

__version__ = "0.1.0"

__all__ = [
    "GMRES",
    "Affine",
    "ConvergenceError",
    "ConvergenceWarning",
    "FixedPointProblem",
    "ImplicitAdjoint",
    "JacobianFree",
    "Layer",
    "LinearSolver",
    "Linearization",
    "Picard",
    "Pullback",
    "Sensitivity",
    "Solution",
    "SolveOptions",
    "Solver",
    "SolverState",
    "State",
    "Status",
    "SteadyState",
    "Unrolled",
    "odeint",
    "solve",
]
