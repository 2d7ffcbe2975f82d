"""The integrators as fixed-point solvers: each is `SteadyState` over one of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from equilib.ode.integrator import Integrator
from equilib.ode.steady_state import SteadyState
from equilib.options import option
from equilib_ode.bs3 import BogackiShampine3
from equilib_ode.dopri5 import Dopri5
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcab3 import VCAB3
from equilib_ode.vcabm import VCABM


@dataclass(frozen=True)
class SteadyTsit5(SteadyState):
    """The steady state by Tsitouras' method."""

    integrator: Integrator = field(default_factory=Tsit5)


@dataclass(frozen=True)
class SteadyDopri5(SteadyState):
    """The steady state by Dormand & Prince's method."""

    integrator: Integrator = field(default_factory=Dopri5)


@dataclass(frozen=True)
class SteadyBS3(SteadyState):
    """The steady state by Bogacki & Shampine's method."""

    integrator: Integrator = field(default_factory=BogackiShampine3)


@dataclass(frozen=True)
class SteadyVCAB3(SteadyState):
    """The steady state by Adams-Bashforth of order 3 with variable steps."""

    integrator: Integrator = field(default_factory=VCAB3)
    # Its controller keeps the errors at a small part of this.
    step_rtol: float = option(0.1, help="error of a time step relative to the residual", exclusive_minimum=0.0)


@dataclass(frozen=True)
class SteadyVCABM(SteadyState):
    """The steady state by Adams-Bashforth-Moulton of variable order."""

    integrator: Integrator = field(init=False, repr=False, default_factory=VCABM)
    max_order: int = option(12, help="order of the predictor at most", minimum=1, maximum=12)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "integrator", VCABM(self.max_order))
