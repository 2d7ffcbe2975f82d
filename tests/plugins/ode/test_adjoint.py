"""The adjoint of a fixed point integrated to its steady state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, ImplicitAdjoint, Picard, Solution, ops, solve
from equilib.ode.integrator import Integrator
from equilib.ode.steady_state import SteadyState
from equilib_ode.bs3 import BogackiShampine3
from equilib_ode.dopri5 import Dopri5
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcab3 import VCAB3
from equilib_ode.vcabm import VCABM

SIZE = 5
INTEGRATORS = (Tsit5(), Dopri5(), BogackiShampine3(), VCAB3(), VCABM())


def cell(z: Any, weight: Any, bias: Any) -> Any:
    """Return tanh(z W + b)."""
    return ops.tanh(ops.add(ops.matmul(z, weight), bias))


@pytest.fixture
def problem(rng: np.random.Generator) -> FixedPointProblem:
    """Return a cell whose Jacobian has eigenvalues beyond the unit circle, but left of 1."""
    orthogonal = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))[0]
    weight = orthogonal @ np.diag([-3.0, -2.0, -0.5, 0.3, 0.6]) @ orthogonal.T
    return FixedPointProblem(cell, weight, 0.2 * rng.standard_normal((2, SIZE)))


def fixed_point(problem: FixedPointProblem, integrator: Any) -> Solution:
    """Return the fixed point to about 10 digits."""
    return solve(problem, SteadyState(integrator), np.zeros((2, SIZE)), rtol=1e-10, max_steps=2000)


@pytest.mark.parametrize("integrator", INTEGRATORS, ids=str)
def test_gradients_are_those_of_the_implicit_adjoint(integrator: Integrator, problem: FixedPointProblem) -> None:
    """Every integrator arrives at the exact w = Jᵀw + g, also where Picard iteration of it diverges."""
    solution = fixed_point(problem, Tsit5())
    cotangent = np.random.default_rng(5).standard_normal((2, SIZE))
    exact = ImplicitAdjoint().pullback(problem, solution, cotangent)
    found = ImplicitAdjoint(SteadyState(integrator), max_steps=2000).pullback(problem, solution, cotangent)
    assert found.solves[0].success
    assert f"integrator={integrator}" in found.solves[0].solver
    for ours, theirs in zip(found.inputs, exact.inputs, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-8)
    diverging = ImplicitAdjoint(Picard()).pullback(problem, solution, cotangent)
    assert not diverging.solves[0].success


def test_gradients_are_those_of_finite_differences(problem: FixedPointProblem) -> None:
    """The gradient with respect to the bias is the derivative of the fixed point itself."""
    weight, bias = problem.inputs
    cotangent = np.random.default_rng(5).standard_normal((2, SIZE))
    found = ImplicitAdjoint(SteadyState(Tsit5()), max_steps=2000).pullback(
        problem, fixed_point(problem, Tsit5()), cotangent
    )
    direction = np.random.default_rng(6).standard_normal(bias.shape)
    ends = [
        float(np.sum(cotangent * fixed_point(FixedPointProblem(cell, weight, bias + h * direction), Tsit5()).z))
        for h in (1e-5, -1e-5)
    ]
    assert np.sum(found.inputs[1] * direction) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


def test_an_adjoint_that_does_not_arrive_says_so(problem: FixedPointProblem) -> None:
    """With too few steps the pullback comes with its statuses and does not raise."""
    pulled = ImplicitAdjoint(SteadyState(Tsit5()), max_steps=1).pullback(
        problem, fixed_point(problem, Tsit5()), np.ones((2, SIZE))
    )
    assert not pulled.solves[0].success
