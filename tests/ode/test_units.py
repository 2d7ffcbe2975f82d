"""Integrations in every unit: inputs on which integrators were wrong without a word, with their right values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from equilib import integrate, ops
from equilib.autodiff import value_and_grad
from equilib.ode import FixedStepIntegrator, OdeStatus
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.evolution import evolve
from equilib.plugin import IntegratorEntry
from equilib.plugin.choosing import build_named
from equilib.plugin.registry import Registry
from equilib_ode.bdf import BDF
from equilib_ode.bs3 import BogackiShampine3
from equilib_ode.dopri5 import Dopri5
from equilib_ode.kencarp47 import KenCarp47
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcab3 import VCAB3
from equilib_ode.vcabm import VCABM

REGISTRY = Registry.discover()
NAMES = [each.entry.name for each in REGISTRY.provided(IntegratorEntry) if not each.entry.unavailable]
STIFF = [name for name in ("scipy:bdf", "scipy:radau", "scipy:lsoda", "sundials:cvode") if name in NAMES]
ONE = np.ones((1, 1))


def built(name: str) -> Any:
    """Return an integrator by its name."""
    return build_named(REGISTRY, IntegratorEntry, name).part


every_integrator = pytest.mark.parametrize("integrator", [pytest.param(built(name), id=name) for name in NAMES])
every_stiff_one = pytest.mark.parametrize("integrator", [pytest.param(built(name), id=name) for name in STIFF])


def decay(t: Any, y: Any) -> Any:
    """Return −y."""
    return -y


@every_integrator
def test_seconds_since_1970(integrator: Any) -> None:
    """Y' = −y over two seconds is as exact there as from 0: a step is the difference of two times that are held."""
    found = integrate(decay, ONE, [1.7e9, 1.7e9 + 2], integrator, rtol=1e-6, atol=1e-9)
    from_zero = integrate(decay, ONE, [0, 2], integrator, rtol=1e-6, atol=1e-9)
    error, usual = (abs(float(each.y[-1, 0, 0]) - np.exp(-2)) for each in (found, from_zero))
    assert error < 2 * usual + 1e-7


@pytest.mark.parametrize("integrator", [Dopri5(), Tsit5(), BogackiShampine3()], ids=str)
def test_milliseconds_since_1970_as_seconds(integrator: Any) -> None:
    """At t = 1.7e12, where the next number is 2.4e-4 away, steps are whole numbers of such distances."""
    found = integrate(decay, ONE, [1.7e12, 1.7e12 + 2], integrator, rtol=1e-7, atol=1e-9)
    assert found.y[-1, 0, 0] == pytest.approx(np.exp(-2), rel=3e-6)


@pytest.mark.parametrize("integrator", [VCABM(), BDF(), KenCarp47(), Tsit5()], ids=str)
def test_a_start_between_times_that_are_far_apart(integrator: Any) -> None:
    """There a step of order 1 would have to be shorter than one from a time to the next at a tolerance of 1e-9."""
    found = integrate(decay, ONE, [1.7e12, 1.7e12 + 2], integrator, rtol=1e-9, atol=1e-9)
    assert found.y[-1, 0, 0] == pytest.approx(np.exp(-2), abs=3e-8)


@every_integrator
def test_single_precision_has_times_of_its_own(integrator: Any) -> None:
    """The integral of cos 2πt from 10⁶ to 10⁶ + ¼ is 1/2π in float32, whose numbers there are 1/16 apart."""
    dtypes = set()

    def f(t: Any, y: Any) -> Any:
        dtypes.add(t.dtype)
        return np.cos(2 * np.pi * t) + 0 * y

    y0 = np.zeros((2, 1), np.float32)
    found = integrate(f, y0, [1e6, 1e6 + 0.25], integrator, rtol=1e-4, atol=1e-5, per_sample=True)
    np.testing.assert_allclose(found.y[-1], 1 / (2 * np.pi), rtol=0.01)  # which Euler's steps are off
    assert found.y.dtype == np.float32
    assert dtypes == {np.dtype(np.float64)}


@pytest.mark.parametrize("way", [Interpolating(), Gauss(), Backsolve(), Discrete()], ids=lambda way: type(way).__name__)
def test_gradients_in_single_precision_at_late_times(way: Any) -> None:
    """Y' = θ cos(2πt) y has y(t) = exp(θ sin(2πt) / 2π), and derivatives in float32."""

    def loss(given: Any) -> Any:
        f = lambda t, y, rate: ops.multiply(ops.cos(2 * np.pi * t), ops.multiply(rate, y))  # noqa: E731
        return ops.sum(evolve(f, given[0], [1e6, 1e6 + 0.25], given[1], integrator=Tsit5(), adjoint=way).y[-1])

    _, (start, rate) = value_and_grad(loss)((np.ones((1, 2), np.float32), np.full(2, 0.7, np.float32)))
    assert start.dtype == rate.dtype == np.float32
    grown = np.exp(0.7 / (2 * np.pi))
    np.testing.assert_allclose(start, grown, rtol=1e-3)
    np.testing.assert_allclose(rate, grown / (2 * np.pi), rtol=1e-3)


def van_der_pol(size: float) -> Callable[[Any, Any], Any]:
    """Return y'' = 1000 (1 − y²) y' − y in units in which y is about `size`."""

    def f(t: Any, y: Any) -> Any:
        a, b = y[:, 0], y[:, 1]
        return ops.stack([b, 1000 * (1 - (a / size) * (a / size)) * b - a], axis=1)

    return f


@every_stiff_one
def test_a_stiff_oscillator_in_small_units(integrator: Any) -> None:
    """Jacobians by differences have no width of their own: y(1000) is −1.863 for about as many evaluations as at 1."""
    size = 1e-20
    usual, small = (
        integrate(van_der_pol(each), each * np.array([[2.0, 0.0]]), [0, 1000], integrator, rtol=1e-4, atol=1e-6 * each)
        for each in (1.0, size)
    )
    assert small.y[-1, 0, 0] / size == pytest.approx(-1.863, abs=3e-3)
    assert small.nfe < 1.3 * usual.nfe


@every_stiff_one
def test_robertson_on_its_own_interval(integrator: Any) -> None:
    """To t = 10¹¹ from steps of 10⁻⁸: a step is too small only where t does not move."""

    def f(t: Any, y: Any) -> Any:
        a, b, c = y[:, 0], y[:, 1], y[:, 2]
        return np.stack([-0.04 * a + 1e4 * b * c, 0.04 * a - 1e4 * b * c - 3e7 * b * b, 3e7 * b * b], axis=1)

    atol = np.array([1e-9, 1e-14, 1e-9])
    found = integrate(f, np.array([[1.0, 0.0, 0.0]]), [0, 1e11], integrator, rtol=1e-5, atol=atol)
    np.testing.assert_allclose(found.y[-1, 0], [2.0833e-8, 8.3333e-14, 0.99999998], rtol=0.03)


@every_integrator
def test_a_time_constant_far_from_one(integrator: Any) -> None:
    """Y' = −y/τ on [0, τ] at a tolerance of 1e-6."""
    unit = 1e-9
    found = integrate(lambda t, y: -y / unit, ONE, [0, unit], integrator, rtol=1e-6, atol=1e-6)
    coarse = isinstance(integrator, FixedStepIntegrator)
    assert found.y[-1, 0, 0] == pytest.approx(np.exp(-1), rel=0.01 if coarse else 2e-5)


@every_integrator
@pytest.mark.parametrize(
    ("dtype", "size", "precision"), [("float32", 6e23, 6e-3), ("float16", 2e3, 1e-2)], ids=["float32", "float16"]
)
def test_norms_of_large_and_many_numbers(integrator: Any, dtype: str, size: float, precision: float) -> None:
    """Squares that overflow, and sums over 100 features in float16, are no end of an integration."""
    found = integrate(decay, np.full((1, 100), size, dtype=dtype), [0, 1], integrator)
    np.testing.assert_allclose(found.y[-1].astype(float) / size, np.exp(-1), rtol=precision)


@every_integrator
def test_the_end_of_the_domain_of_f(integrator: Any) -> None:
    """Y' = −√y from 1 is 0 at t = 2, and is nothing beyond: whoever goes on has used nan."""
    found = integrate(lambda t, y: -np.sqrt(y), ONE, [0, 3], integrator, on_failure="record", max_steps=2000)
    assert set(found.status) == {OdeStatus.NONFINITE}
    assert 1.4 < found.reached[0] < 2.05  # LSODA ends at the first nan it meets


@pytest.mark.parametrize("integrator", [Tsit5(), VCAB3()], ids=str)
def test_the_last_value_is_looked_at(integrator: Any) -> None:
    """Where an error norm of the user's does not see that y has overflowed, its status says so."""
    found = integrate(
        lambda t, y: 1e300 * y,
        np.full((2, 1), [[1e200], [0.0]]),
        [0, 1],
        integrator,
        error_norm=lambda error, start, y: np.zeros(start.t.shape),
        on_failure="record",
    )
    assert found.status == (OdeStatus.NONFINITE, OdeStatus.HELD_BACK)


@every_integrator
def test_no_step_beyond_where_f_is_defined(integrator: Any) -> None:
    """Y' = −1/√y from 1 ends at t = 2/3, steeper than any line: what is beyond is extrapolated."""
    found = integrate(
        lambda t, y: -1 / np.sqrt(y), ONE, [0, 1], integrator, rtol=1e-3, atol=1e-6, max_steps=300, on_failure="record"
    )
    assert not found.success
    assert float(found.reached[0]) < 0.7
