"""The neural ODE as a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.arrays.trees import tree_leaves, tree_map
from equilib.autodiff import linearize, value_and_grad
from equilib.errors import NoDerivativeError
from equilib.layers import Chain, Dense
from equilib.models.neural_ode import Autonomous, NeuralODE
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.evolution import evolve
from equilib.ode.solution import IntegrationError, OdeOptions
from equilib_ode.tsit5 import Tsit5


def model(**settings: Any) -> NeuralODE:
    """Return a small neural ODE."""
    return NeuralODE(Autonomous(Chain(Dense(3, 5), ops.tanh, Dense(5, 3))), Tsit5(), **settings)


def test_it_is_the_flow_of_its_field(rng: np.random.Generator) -> None:
    """Two spans one after the other are one span, and time 0 is the identity."""
    params, x = model().init(rng), rng.standard_normal((4, 3)).astype(np.float32)
    options = OdeOptions(rtol=1e-5, atol=1e-6)
    half, whole = model(options=options, span=(0.0, 0.5)), model(options=options)
    np.testing.assert_allclose(half(params, half(params, x)), whole(params, x), atol=1e-4)
    evolution = whole.evolve(params, x, [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(evolution.y[0], x)
    np.testing.assert_allclose(evolution.y[1], half(params, x), atol=1e-4)


@pytest.mark.parametrize("kind", [Interpolating, Gauss, Backsolve, Discrete])
def test_training_reduces_the_loss(kind: type[Any], rng: np.random.Generator) -> None:
    """Gradient descent through every sensitivity fits a rotation, in single precision."""
    layer = model(sensitivity=kind())
    params, x = layer.init(rng), rng.standard_normal((16, 3)).astype(np.float32)
    target = np.stack((x[:, 1], -x[:, 0], x[:, 2]), axis=1)

    def loss(params: Any) -> Any:
        return ops.mse(layer(params, x), target)

    first, _ = value_and_grad(loss)(params)
    for _ in range(10):
        value, gradient = value_and_grad(loss)(params)
        params = tree_map(lambda p, g: p - np.float32(0.3) * g, params, gradient)
    assert value < 0.8 * first
    assert all(leaf.dtype == np.float32 for leaf in tree_leaves(gradient))


def test_failures_are_raised_as_asked(rng: np.random.Generator) -> None:
    """With "raise", an integration that does not arrive raises; its evidence is in the error."""
    params = model().init(rng)
    with pytest.raises(IntegrationError, match="max_steps was reached"):
        model(options=OdeOptions(max_steps=1, first_step=1e-3, on_failure="raise"))(
            params, np.ones((1, 3), dtype=np.float32)
        )


def test_further_derivatives_of_an_integration_are_refused(rng: np.random.Generator) -> None:
    """Forward mode and second derivatives raise, where a silent zero or a wrong number would be easy."""
    params, x = model().init(rng), rng.standard_normal((2, 3)).astype(np.float32)
    loss = lambda x: ops.sum(model()(params, x))  # noqa: E731
    gradient = lambda x: value_and_grad(loss)(x)[1]  # noqa: E731
    for derivative in (linearize(loss, x).jvp, lambda x: linearize(gradient, x)):
        with pytest.raises(NoDerivativeError, match="an integration has first derivatives in reverse mode only"):
            derivative(x)


@pytest.mark.parametrize("way", [Interpolating(), Gauss(), Backsolve(), Discrete()], ids=lambda way: type(way).__name__)
def test_numbers_among_the_inputs_are_constants(way: Any) -> None:
    """A Python number stays what it is in f, and costs no derivative of the arrays beside it."""
    seen = set()

    def f(t: Any, y: Any, settings: Any, rate: Any) -> Any:
        seen.update(map(type, settings.values()))
        return -(y * rate) * settings["factor"] * settings["count"]

    def loss(rate: Any) -> Any:
        y0, settings = np.ones((1, 1)), {"factor": 0.5, "count": 2}
        options = OdeOptions(rtol=1e-7, atol=1e-7)
        return ops.sum(evolve(f, y0, [0, 1], settings, rate, integrator=Tsit5(), adjoint=way, options=options).state)

    np.testing.assert_allclose(value_and_grad(loss)(np.full((1,), 0.7))[1], -np.exp(-0.7), rtol=1e-6)
    assert {float, int} <= seen
