"""The laws of every solver, kept by the steady states of the integrators."""

from __future__ import annotations

from equilib_ode.solvers import SteadyBS3, SteadyTsit5, SteadyVCAB3, SteadyVCABM
from tests.plugins.solver_laws import SolverLaws


class TestTsit5(SolverLaws):
    """By Tsitouras' method."""

    solver = SteadyTsit5()


class TestBS3(SolverLaws):
    """By Bogacki & Shampine's method."""

    solver = SteadyBS3()


class TestVCAB3(SolverLaws):
    """By Adams-Bashforth of order 3."""

    solver = SteadyVCAB3()


class TestVCABM(SolverLaws):
    """By Adams-Bashforth-Moulton."""

    solver = SteadyVCABM()
