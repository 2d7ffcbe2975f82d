"""What is said of stiff equations where an explicit method fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib.ode import OdeStatus, integrate
from equilib_ode.bs3 import BogackiShampine3
from equilib_ode.dopri5 import Dopri5
from equilib_ode.fixed_steps import RK4, Euler, Midpoint
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcab3 import VCAB3
from equilib_ode.vcabm import VCABM

EXPLICIT = [Tsit5(), Dopri5(), BogackiShampine3(), VCAB3(), VCABM()]


def stiff(t: Any, y: Any) -> Any:
    """Return a solution that follows a cosine, from which others decay at the rate of 1e5."""
    return np.array([-1e5, -1.0]) * (y - np.cos(t)) - np.sin(t)


@pytest.mark.parametrize("method", EXPLICIT, ids=str)
def test_an_explicit_method_says_that_the_equation_is_stiff(method: Any) -> None:
    """It ends where its steps are used up, names the rate, and what to take instead."""
    found = integrate(stiff, np.ones((1, 2)), [0, 10], method, max_steps=300, on_failure="record")
    assert found.status == (OdeStatus.MAX_STEPS,)
    report = found.failure_report()
    assert "the equation is stiff" in report.lower()
    assert "rate ρ = 1e+05" in report
    assert "take kencarp47, bdf or auto" in report


def test_each_sample_is_judged_by_itself() -> None:
    """With steps for each sample the one that is stiff is told, and is the one that fails."""
    rates = np.array([[1.0], [1e5]])
    options: dict[str, Any] = {"max_steps": 300, "on_failure": "record", "per_sample": True}
    found = integrate(lambda t, y: -rates * (y - np.cos(t)), np.ones((2, 1)), [0, 10], Tsit5(), **options)
    assert [bool(message) for message in found.messages] == [False, True]


@pytest.mark.parametrize("method", [Euler(steps=100), Midpoint(steps=50), RK4(steps=50)], ids=str)
def test_steps_that_are_too_few_for_a_stiff_equation_say_so(method: Any) -> None:
    """What overflows since the given steps are beyond stability is explained by it."""
    found = integrate(lambda t, y: -1e4 * y, np.ones((1, 1)), [0, 50], method, on_failure="record")
    assert found.status == (OdeStatus.NONFINITE,)
    assert "rate ρ = 1e+04" in found.failure_report()


def test_rejections_at_the_end_do_not_hide_what_bounded_the_steps() -> None:
    """Where the steps are used up while f jumps, the last ones are short for that; those before were bounded."""

    def f(t: Any, y: Any) -> Any:
        return -1e4 * (y - np.cos(t)) + 1e6 * (t > 0.02)

    found = integrate(f, np.ones((1, 1)), [0, 10], Tsit5(), max_steps=80, on_failure="record", rtol=1e-4)
    assert found.rejected[0] > 20
    assert "rate ρ = 1e+04" in found.failure_report()


@pytest.mark.parametrize("method", EXPLICIT, ids=str)
def test_a_long_oscillation_is_not_stiff(method: Any) -> None:
    """Where accuracy bounds the steps nothing is said of stiffness."""
    turn = np.array([[0.0, 50.0], [-50.0, 0.0]])
    options: dict[str, Any] = {"max_steps": 100, "on_failure": "record", "rtol": 1e-5}
    found = integrate(lambda t, y: y @ turn, np.array([[1.0, 0.0]]), [0, 1e3], method, **options)
    assert found.status == (OdeStatus.MAX_STEPS,)
    assert "stiff" not in found.failure_report()


def test_stability_intervals_are_the_known_ones() -> None:
    """Those of Euler, the midpoint rule, Kutta, Bogacki & Shampine, Dormand & Prince, and Tsitouras."""
    methods = [Euler(), Midpoint(), RK4(), BogackiShampine3(), Dopri5(), Tsit5()]
    known = [2.0, 2.0, 2.7853, 2.5127, 3.3066, 3.5068]
    np.testing.assert_allclose([each.stability.length for each in methods], known, atol=1e-4)
