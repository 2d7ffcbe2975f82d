"""The laws of every solver, kept by the steady states of the integrators."""

from __future__ import annotations

from equilib.ode.steady_state import SteadyState
from equilib_ode.vcab3 import VCAB3
from equilib_ode.vcabm import VCABM
from tests.plugins.solver_laws import SolverLaws


class TestVCAB3(SolverLaws):
    """By Adams-Bashforth of order 3."""

    solver = SteadyState(VCAB3(), step_rtol=0.1)


class TestVCABM(SolverLaws):
    """By Adams-Bashforth-Moulton."""

    solver = SteadyState(VCABM())
