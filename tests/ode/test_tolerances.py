"""Tolerances of each component."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import value_and_grad
from equilib.errors import UserError
from equilib.ode import OdeOptions, integrate
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.evolution import evolve
from equilib_ode.tsit5 import Tsit5
from equilib_scipy.integrators import BDF, LSODA, RK45
from tests.arrays_under_test import lift, lower
from tests.initial_value_problems import Heun

UNITS = np.array([1.0, 2.0**-40])
Y0 = np.array([[1.0, 0.5], [0.5, 2.0], [3.0, 1.0]])


@pytest.mark.parametrize("integrator", [Heun(), Tsit5(), RK45(), BDF(), LSODA()], ids=str)
@pytest.mark.parametrize("per_sample", [False, True])
def test_a_component_has_its_own_unit(xp: ModuleType, integrator: Any, per_sample: bool) -> None:
    """What is measured in another unit, with its tolerance, makes the same steps to the same solution."""

    def run(units: np.ndarray) -> Any:
        turn = lift(xp, np.array([1.0, -1.0]) * units / units[::-1])
        f = lambda t, y: xp.flip(y, axis=(1,)) * turn  # noqa: E731
        options: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5 * units, "per_sample": per_sample}
        return integrate(f, lift(xp, Y0 * units), [0, 0.7, 2], integrator, **options)

    plain, other = run(np.ones(2)), run(UNITS)
    if not isinstance(integrator, BDF):  # its Jacobians are differences
        assert plain.nfe == other.nfe
    np.testing.assert_allclose(
        lower(other.y) / UNITS, lower(plain.y), rtol=1e-3 if isinstance(integrator, BDF) else 1e-12
    )


def test_a_relative_tolerance_of_each_component() -> None:
    """What may be inexact makes no steps; integrators that take one number say so."""
    f = lambda t, y: y * np.array([-0.1, -5.0])  # noqa: E731
    options: dict[str, Any] = {"rtol": np.array([1e-6, 1e6]), "atol": 1e-12}
    for integrator in (Tsit5(), RK45()):
        found, strict = integrate(f, Y0, [0, 2], integrator, **options), integrate(f, Y0, [0, 2], integrator, rtol=1e-6)
        assert found.accepted[0] < strict.accepted[0] / 2
        np.testing.assert_allclose(found.y[-1][:, 0], Y0[:, 0] * np.exp(-0.2), rtol=1e-5)
    with pytest.raises(UserError, match=r"^scipy:bdf takes one rtol for all components; give rtol a number"):
        integrate(f, Y0, [0, 2], BDF(), **options)
    with pytest.raises(
        ValueError, match=r"'atol' has the shape \(3,\), which does not broadcast against a sample, \(2,"
    ):
        integrate(f, Y0, [0, 2], Tsit5(), atol=np.ones(3))


@pytest.mark.parametrize("way", [Interpolating(), Gauss(), Backsolve(), Discrete()], ids=lambda way: type(way).__name__)
def test_gradients_with_tolerances_of_each_component(way: Any) -> None:
    """An adjoint is integrated, and its gradient that of the solution."""

    def loss(rate: Any) -> Any:
        f = lambda t, y, rate: y * rate  # noqa: E731
        options = OdeOptions(rtol=np.array([1e-7, 1e-6]), atol=1e-8 * UNITS)
        return ops.sum(
            evolve(f, Y0 * UNITS, [0, 1], rate, integrator=Tsit5(), adjoint=way, options=options).state / UNITS
        )

    rate = np.array([0.3, -0.8])
    np.testing.assert_allclose(value_and_grad(loss)(rate)[1], np.sum(Y0 * np.exp(rate), axis=0), rtol=1e-5)
