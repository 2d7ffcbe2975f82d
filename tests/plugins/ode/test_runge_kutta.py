"""The Runge-Kutta methods: measured order, exactness, cost."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib.ode.integration import integrate
from equilib_ode.bs3 import BogackiShampine3
from equilib_ode.dopri5 import Dopri5
from equilib_ode.runge_kutta import RungeKutta
from equilib_ode.tsit5 import Tsit5
from tests.arrays_under_test import lift, lower
from tests.initial_value_problems import at_fixed_steps, forced, measured_order, reference, rotated, rotation

METHODS = [Tsit5(), Dopri5(), BogackiShampine3()]
Y0 = np.array([[1.0, 0.0], [0.0, 2.0], [-0.5, 0.5]])


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_the_order_is_measured(method: RungeKutta) -> None:
    """Halving a fixed step divides the error by 2^p, p within 0.2."""
    assert measured_order(method, (64, 128)) == pytest.approx(method.order, abs=0.2)


@pytest.mark.parametrize(("method", "order"), [(Tsit5(), 5), (Dopri5(), 5), (BogackiShampine3(), 4)], ids=str)
def test_the_order_inside_a_step(method: RungeKutta, order: int) -> None:
    """One step of size h has the error h^(q+1) inside, q the order of the interpolant: 4, 4 and 3."""
    errors = []
    for h in (0.1, 0.05):
        times = (0.0, 0.4 * h, h)
        y0 = np.array([[1.0, 0.3]])
        errors.append(np.abs(at_fixed_steps(method, forced, y0, times, h).y[1] - reference(forced, y0, times)[1]).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_polynomials_are_integrated_exactly(method: RungeKutta) -> None:
    """Y' = t^(p−1) is exact to rounding with steps of any size, and inside them up to the interpolant's degree."""
    degree = method.order

    def f(t: Any, y: Any) -> Any:
        return degree * t ** (degree - 1) + 0 * y

    found = at_fixed_steps(method, f, np.zeros((1, 1)), [0, 1], 0.25)
    assert found.y[-1].item() == pytest.approx(1, abs=1e-12)
    inner = method.tableau.interpolant_order
    found = at_fixed_steps(
        method, lambda t, y: inner * t ** (inner - 1) + 0 * y, np.zeros((1, 1)), [0, 0.1, 0.6, 1], 0.25
    )
    np.testing.assert_allclose(found.y[:, 0, 0], found.t**inner, atol=1e-12)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_the_last_stage_is_the_next_first(method: RungeKutta) -> None:
    """A step costs stages − 1 evaluations, and the beginning one more, or two where the first step is estimated."""
    stages = len(method.tableau.error)
    found = integrate(forced, Y0, [0, 3], method)
    assert found.nfe == 2 + (stages - 1) * int(found.accepted[0] + found.rejected[0])
    assert at_fixed_steps(method, forced, Y0, [0, 1], 0.25).nfe == 1 + 4 * (stages - 1)


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("per_sample", [False, True])
def test_adaptive_steps_reach_the_tolerance(xp: ModuleType, method: RungeKutta, per_sample: bool) -> None:
    """The global error of a well-conditioned problem is within a hundred tolerances, on every array library."""
    found = integrate(rotation, lift(xp, Y0), [0, 1, 3], method, rtol=1e-5, atol=1e-5, per_sample=per_sample)
    np.testing.assert_allclose(lower(found.y), [rotated(Y0, t) for t in (0, 1, 3)], atol=1e-3)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_single_precision_stays(xp: ModuleType, method: RungeKutta) -> None:
    """A float32 state gives a float32 trajectory with a float32 error."""
    found = integrate(rotation, lift(xp, Y0, "float32"), [0, 0.3, 1], method, rtol=1e-5, dense=True, per_sample=True)
    assert found.y.dtype == found.trajectory(0.5).dtype == xp.float32
    np.testing.assert_allclose(lower(found.y[-1, ...]), rotated(Y0, 1), atol=1e-4)
