"""Ordinary differential equations y' = f(t, y): one time-stepping loop, and steady states as fixed points.

The methods themselves are plugins. Nothing here knows autograd; `equilib.models.neural_ode` makes it differentiable.
"""

from equilib.ode.events import Event, EventRecord
from equilib.ode.flow import Flow, FlowPoint
from equilib.ode.integrate import odeint
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
    "hermite",
    "odeint",
]
