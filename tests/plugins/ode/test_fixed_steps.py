"""Methods with a given number of steps: the number, the order, the end, and the gradient."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import value_and_grad
from equilib.ode import OdeStatus, integrate
from equilib.ode.adjoints import Discrete
from equilib.ode.evolution import evolve
from equilib_ode.fixed_steps import CLASSICAL, EULER, MIDPOINT, RK4, Euler, FixedSteps, Midpoint
from equilib_ode.order_conditions import defect
from tests.arrays_under_test import lift, lower
from tests.initial_value_problems import forced, reference, rotated, rotation

METHODS = [Euler, Midpoint, RK4]
Y0 = np.array([[1.0, 0.5], [0.0, 2.0]])
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)


@every_method
@pytest.mark.parametrize("times", [(0.0, 1.0), (1.7e9, 1.7e9 + 1), (0.3, -2.4), (1e-9, 3e-9)], ids=str)
def test_the_steps_are_as_many_as_asked_for(method: type[FixedSteps], times: tuple[float, ...]) -> None:
    """The interval is divided into `steps` steps that end on its end, whatever tolerance, limit and rounding."""
    found = integrate(lambda t, y: -y, Y0, times, method(steps=7), rtol=1e-12, max_steps=3)
    assert found.success
    assert found.accepted.tolist() == [7, 7]
    assert found.rejected.tolist() == [0, 0]
    assert found.nfe == 1 + 7 * (len(method.tableau.a) - 1)
    assert found.reached[0] == times[-1]


@every_method
def test_the_order_is_measured(xp: ModuleType, method: type[FixedSteps]) -> None:
    """Twice the steps divide the error by 2^p, at the end and between the steps, on every array library."""
    times = [0.0, 1.03, 4.0]
    errors = []
    for steps in (50, 100):
        found = integrate(rotation, lift(xp, Y0), times, method(steps=steps), per_sample=True)
        errors.append([np.abs(lower(found.y[i, ...]) - rotated(Y0, times[i])).max() for i in (1, 2)])
    orders = np.log2(np.divide(*errors))
    assert orders[1] == pytest.approx(method.tableau.order, abs=0.2)
    assert orders[0] > method.tableau.order - 0.6


def test_the_classical_weights_are_kutta_s() -> None:
    """The tableaus are of their order and of no higher one (Hairer, Nørsett & Wanner I, table II.1.2)."""
    for tableau in (EULER, MIDPOINT, CLASSICAL):
        assert defect(tableau.matrix, tableau.b, tableau.order) < 1e-15
        assert defect(tableau.matrix, tableau.b, tableau.order + 1) > 1e-3
    assert CLASSICAL.b.tolist()[:4] == [1 / 6, 1 / 3, 1 / 3, 1 / 6]


@every_method
def test_what_overflows_is_not_finished(method: type[FixedSteps]) -> None:
    """A step to what is not finite ends the integration there, be it the last."""
    found = integrate(lambda t, y: 1e200 * y, np.full((1, 1), 1e100), [0, 1e10], method(steps=1), on_failure="record")
    assert found.status == (OdeStatus.NONFINITE,)
    assert found.reached[0] == 0


@every_method
def test_the_discrete_gradient_is_exact(method: type[FixedSteps]) -> None:
    """However few the steps, the discrete adjoint gives the differences of what was computed, between the steps too."""

    def field(t: Any, y: Any, rate: Any) -> Any:
        return ops.subtract(ops.tanh(ops.multiply(rate, y)), ops.multiply(t, y))

    def loss(arguments: Any) -> Any:
        y0, rate = arguments
        found = evolve(field, y0, [0.0, 0.37, 2.0], rate, integrator=method(steps=5), adjoint=Discrete())
        return ops.sum(ops.multiply(found.y, weights))

    rng = np.random.default_rng(3)
    weights, rate = rng.standard_normal((3, 2, 2)), np.array([0.7, -1.2])
    _, (y_bar, rate_bar) = value_and_grad(loss)((Y0, rate))
    along, of_rate = rng.standard_normal(Y0.shape), rng.standard_normal(2)
    ends = [float(loss((Y0 + d * along, rate + d * of_rate))) for d in (1e-6, -1e-6)]
    assert np.sum(y_bar * along) + np.sum(rate_bar * of_rate) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-7)


def test_many_steps_reach_the_solution() -> None:
    """Kutta's method in 400 steps solves an equation that depends on time to 1e-10."""
    found = integrate(forced, Y0, [0, 3], RK4(steps=400))
    np.testing.assert_allclose(found.y[1], reference(forced, Y0, [0, 3])[1], atol=1e-10)
