"""Gradients that were wrong without a word: each adjoint is right, or says that it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import value_and_grad
from equilib.ode import IntegrationError, OdeOptions
from equilib.ode.adjoints import Backsolve, Gauss, Interpolating
from equilib.ode.evolution import evolve
from equilib_ode.bdf import BDF
from equilib_ode.kencarp47 import KenCarp47
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcabm import VCABM

RATE = 50.0


def gradient(f: Any, end: float, integrator: Any, way: Any, **options: Any) -> np.ndarray:
    """Return the gradient of y(end), from y(0) = 0, with respect to the input of f at 1."""

    def loss(p: Any) -> Any:
        given = OdeOptions(on_failure="raise", **options)
        return ops.sum(
            evolve(f, np.zeros((1, 1)), [0.0, end], p, integrator=integrator, adjoint=way, options=given).state
        )

    return np.asarray(value_and_grad(loss)(np.ones((1, 1)))[1])


@pytest.mark.parametrize("rate", [20.0, 1000.0])
@pytest.mark.parametrize("integrator", [Tsit5(), KenCarp47(), BDF()], ids=lambda each: type(each).__name__)
def test_a_state_that_cannot_be_followed_backward_is_told(integrator: Any, rate: float) -> None:
    """y' = −rate (y − p²) brings y backward to anywhere, where a method that damps it sees no error: it is compared."""

    def pulled(t: Any, y: Any, p: Any) -> Any:
        return ops.multiply(-rate, ops.subtract(y, p * p))

    with pytest.raises(IntegrationError, match="y leaves the solution; take the adjoint interpolating"):
        gradient(pulled, 1.0, integrator, Backsolve())
    assert gradient(pulled, 1.0, integrator, Interpolating()) == pytest.approx(2.0, rel=1e-2)


def test_a_state_that_comes_back_has_its_gradient() -> None:
    """Over two time constants a decay is followed backward, and nothing is told."""
    found = gradient(lambda t, y, p: ops.subtract(p * p, y), 2.0, Tsit5(), Backsolve())
    assert found == pytest.approx(2 * (1 - np.exp(-2.0)), rel=1e-2)


@pytest.mark.parametrize("way", [Interpolating(), Gauss()], ids=lambda way: type(way).__name__)
@pytest.mark.parametrize("integrator", [Tsit5(), VCABM(), KenCarp47()], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("decay", [0.0, 3.0])
def test_the_integral_for_a_parameter_follows_what_f_does(integrator: Any, way: Any, decay: float) -> None:
    """y' = p cos(50 t) − k y: λ changes slowly or not at all, while what is integrated for p oscillates."""

    def driven(t: Any, y: Any, p: Any) -> Any:
        return ops.subtract(ops.multiply(p, np.cos(RATE * t)), ops.multiply(decay, y))

    end = 1.0
    rest = complex(decay, RATE)
    expected = ((np.exp(1j * RATE * end) - np.exp(-decay * end)) / rest).real
    found = gradient(driven, end, integrator, way, rtol=1e-5, atol=1e-6)
    assert found == pytest.approx(expected, abs=1e-4)
