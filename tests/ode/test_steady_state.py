"""Integrators as fixed-point solvers: the same fixed points as other solvers', and honest about steps and residuals."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, Picard, Status, solve
from equilib.ode.steady_state import SteadyState
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_ode.bs3 import BogackiShampine3
from equilib_ode.dopri5 import Dopri5
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcab3 import VCAB3
from equilib_ode.vcabm import VCABM
from tests.arrays_under_test import lift, lower
from tests.initial_value_problems import Heun

INTEGRATORS = [Heun(), Tsit5(), Dopri5(), BogackiShampine3(), VCAB3(), VCABM()]
SIZE = 8
every_integrator = pytest.mark.parametrize("integrator", INTEGRATORS, ids=str)


def weights(radius: float, *, seed: int = 0) -> np.ndarray:
    """Return a matrix with this spectral radius."""
    matrix = np.random.default_rng(seed).standard_normal((SIZE, SIZE))
    return radius / np.abs(np.linalg.eigvals(matrix)).max() * matrix


def tanh_map(matrix: np.ndarray, bias: np.ndarray) -> Any:
    """Return z ↦ tanh(z W + b)."""
    return lambda z: np.tanh(z @ matrix + bias)


BIAS = np.random.default_rng(1).standard_normal((4, SIZE))


@every_integrator
def test_the_steady_state_is_newtons_fixed_point(integrator: Any) -> None:
    """A tanh cell has one fixed point near, and both ways lead to it."""
    matrix = weights(0.9)
    z0 = np.zeros((4, SIZE))
    newton = solve(_differentiable(matrix, BIAS), NewtonGMRES(), z0, rtol=1e-10)
    found = solve(tanh_map(matrix, BIAS), SteadyState(integrator), z0, rtol=1e-8, max_steps=500)
    np.testing.assert_allclose(found.z, newton.z, atol=1e-7)
    np.testing.assert_allclose(found.residual, tanh_map(matrix, BIAS)(found.z) - found.z, atol=1e-15)


def _differentiable(matrix: np.ndarray, bias: np.ndarray) -> FixedPointProblem:
    def jvp(z: np.ndarray, v: np.ndarray) -> np.ndarray:
        return (v @ matrix) * (1 - np.tanh(z @ matrix + bias) ** 2)

    return FixedPointProblem(tanh_map(matrix, bias), jvp=jvp)


@every_integrator
def test_expansive_maps_with_eigenvalues_left_of_one(integrator: Any) -> None:
    """Where the Jacobian has eigenvalues −4 to 0.5 Picard iteration diverges and the integration arrives."""
    orthogonal = np.linalg.qr(np.random.default_rng(2).standard_normal((SIZE, SIZE)))[0]
    matrix = orthogonal @ np.diag(np.linspace(-4, 0.5, SIZE)) @ orthogonal.T
    f = lambda z: z @ matrix + BIAS  # noqa: E731
    z0 = np.zeros((4, SIZE))
    assert set(solve(f, Picard(), z0, on_failure="record").status) == {Status.DIVERGED}
    found = solve(f, SteadyState(integrator), z0, rtol=1e-6, max_steps=500)
    np.testing.assert_allclose(found.z, BIAS @ np.linalg.inv(np.eye(SIZE) - matrix), rtol=1e-4, atol=1e-5)


@every_integrator
def test_the_residual_goes_far_below_the_first_steps_error(integrator: Any) -> None:
    """A strongly coupled cell is solved to 1e-9: the residual does not hover at the tolerance of a time step."""
    found = solve(tanh_map(weights(1.3), BIAS), SteadyState(integrator), np.zeros((4, SIZE)), rtol=1e-9, max_steps=1000)
    assert found.residual_norm.max() < 1e-8


def test_a_rejected_step_is_a_step_that_leaves_z() -> None:
    """With a first step far beyond the stability limit, z stays, the step is counted, and the residual is its own."""
    f = lambda z: -20 * z + 1  # noqa: E731
    solver = SteadyState(VCAB3(), first_step=5.0)
    problem = FixedPointProblem(f)
    problem.active = np.ones(1, dtype=bool)
    z0 = np.zeros((1, 1))
    state = solver.init(problem, z0)
    after = solver.step(problem, state)
    assert after.z is z0
    np.testing.assert_array_equal(after.residual, f(z0) - z0)
    assert after.progress.h[0] < 5.0
    once = solve(f, solver, z0, max_steps=1, on_failure="record")
    assert (once.steps[0], once.status) == (1, (Status.MAX_STEPS,))


@pytest.mark.parametrize("integrator", INTEGRATORS[1:], ids=str)
def test_evaluations_are_few(integrator: Any) -> None:
    """The time scale of z' = −z + c is 1: from the first step of 0.5 on, 1e-3 takes about seven time units' worth."""
    found = solve(lambda z: 0 * z + 1.0, SteadyState(integrator), np.zeros((1, SIZE)), rtol=1e-3, max_steps=200)
    assert found.nfe <= 61


@every_integrator
def test_samples_do_not_depend_on_their_batch(integrator: Any) -> None:
    """Easy, hard and nan samples side by side: each as if it were alone, the nan one with its status."""
    bias = np.concatenate((0.01 * BIAS[:1], BIAS[1:2], np.full((1, SIZE), np.nan)))
    rate = np.array([[0.1], [2.5], [1.0]])
    matrix = weights(0.8)

    def f(rows: Any) -> Any:
        return lambda z: np.tanh(rate[rows] * (z @ matrix) + bias[rows])

    together = solve(f([0, 1, 2]), SteadyState(integrator), np.zeros((3, SIZE)), max_steps=300, on_failure="record")
    assert together.status == (Status.CONVERGED, Status.CONVERGED, Status.NONFINITE)
    for row in (0, 1):
        alone = solve(f([row]), SteadyState(integrator), np.zeros((1, SIZE)), max_steps=300)
        np.testing.assert_allclose(together.z[row], alone.z[0], rtol=1e-9)
        assert together.steps[row] == alone.steps[0]


def test_a_map_without_fixed_point_does_not_converge() -> None:
    """For z ↦ z + 1 the flow goes on for ever, and no status says otherwise."""
    found = solve(lambda z: z + 1, SteadyState(Tsit5()), np.zeros((1, 2)), on_failure="record")
    assert found.status[0] in (Status.MAX_STEPS, Status.DIVERGED)


def test_a_step_size_that_vanishes_is_a_stall() -> None:
    """Where f is nan everywhere but at z0 no step is possible, and the sample is given up instead of hung."""
    f = lambda z: np.where(z == 0, 1.0, np.nan)  # noqa: E731
    found = solve(f, SteadyState(BogackiShampine3()), np.zeros((1, 2)), on_failure="record", max_steps=100)
    assert found.status == (Status.STALLED,)
    assert found.steps[0] < 12


@every_integrator
def test_libraries_and_precision(xp: ModuleType, integrator: Any) -> None:
    """Every array library takes the same steps, and float32 stays float32."""
    bias = lift(xp, BIAS, "float32")
    f = lambda z: 0.5 * xp.tanh(z) + bias  # noqa: E731
    found = solve(f, SteadyState(integrator), xp.zeros_like(bias), max_steps=200)
    assert found.z.dtype == xp.float32
    host = lower(bias)
    numpy = solve(lambda z: 0.5 * np.tanh(z) + host, SteadyState(integrator), np.zeros_like(host), max_steps=200)
    np.testing.assert_allclose(lower(found.z), numpy.z, rtol=1e-4)


def test_options_are_checked() -> None:
    """An option out of range is refused when the solver is made."""
    with pytest.raises(ValueError, match="first_step"):
        SteadyState(Tsit5(), first_step=0.0)
    with pytest.raises(ValueError, match="step_rtol"):
        SteadyState(Tsit5(), step_rtol=-1.0)
