"""Ordinary differential equations y' = f(t, y): one time-stepping loop, and steady states as fixed points.

The methods themselves are plugins. `odeint` and `evolve` are differentiable, and load autograd when they are called.
"""

from equilib.ode.events import Event, EventRecord
from equilib.ode.evolution import Evolution, evolve, odeint
from equilib.ode.flow import Flow, FlowPoint
from equilib.ode.integration import integrate
from equilib.ode.integrator import (
    Attempt,
    FixedStepIntegrator,
    Integrator,
    Linearize,
    Memory,
    StagedIntegrator,
    Step,
    StepCotangents,
    Traits,
    hermite,
)
from equilib.ode.library import Interpolant, LibraryIntegrator, Start, System, TimeStepper
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import IntegrationError, IntegrationWarning, OdeOptions, OdeSolution, OdeStatus
from equilib.ode.steady_state import SteadyState
from equilib.ode.step_control import Controller, ControlState, IController, PIController
from equilib.ode.stiffness import BoundedIntegrator, Stability

__all__ = [
    "Attempt",
    "BoundedIntegrator",
    "ControlState",
    "Controller",
    "Event",
    "EventRecord",
    "Evolution",
    "FixedStepIntegrator",
    "Flow",
    "FlowPoint",
    "IController",
    "IntegrationError",
    "IntegrationWarning",
    "Integrator",
    "Interpolant",
    "LibraryIntegrator",
    "Linearize",
    "Memory",
    "OdeOptions",
    "OdeProblem",
    "OdeSolution",
    "OdeStatus",
    "PIController",
    "Stability",
    "StagedIntegrator",
    "Start",
    "SteadyState",
    "Step",
    "StepCotangents",
    "System",
    "TimeStepper",
    "Traits",
    "evolve",
    "hermite",
    "integrate",
    "odeint",
]
