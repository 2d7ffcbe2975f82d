"""The laws of every solver, kept by the steady states of the integrators."""

from __future__ import annotations

import numpy as np

from equilib import solve
from equilib.ode.steady_state import SteadyState
from equilib_ode.vcab3 import VCAB3
from equilib_ode.vcabm import VCABM
from tests.plugins.solver_laws import SolverLaws


class FlowLaws(SolverLaws):
    """A time step does less than a step of other solvers, so some laws need more of them."""

    def test_without_a_batch_axis(self) -> None:
        """A state of any shape is one system with batched=False."""
        f = lambda z: 0.5 * np.cos(z)  # noqa: E731
        z = solve(f, self.solver, np.zeros((2, 3)), batched=False, rtol=1e-9, max_steps=200).z
        np.testing.assert_allclose(z, 0.45018361129487357, rtol=1e-7)


class TestVCAB3(FlowLaws):
    """By Adams-Bashforth of order 3."""

    solver = SteadyState(VCAB3(), step_rtol=0.1)


class TestVCABM(FlowLaws):
    """By Adams-Bashforth-Moulton."""

    solver = SteadyState(VCABM())
