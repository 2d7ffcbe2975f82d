"""Ordinary differential equations y' = f(t, y): one time-stepping loop, and steady states as fixed points.

The methods themselves are plugins. Nothing here knows autograd; `equilib.models.neural_ode` makes it differentiable.
"""

from equilib.ode.integrate import odeint
from equilib.ode.integrator import Integrator
from equilib.ode.library import LibraryIntegrator
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import IntegrationError, IntegrationWarning, OdeOptions, OdeSolution, OdeStatus
from equilib.ode.steady_state import SteadyState

__all__ = [
    "IntegrationError",
    "IntegrationWarning",
    "Integrator",
    "LibraryIntegrator",
    "OdeOptions",
    "OdeProblem",
    "OdeSolution",
    "OdeStatus",
    "SteadyState",
    "odeint",
]
