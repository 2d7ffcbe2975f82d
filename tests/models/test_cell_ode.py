"""Cells followed for a finite time: the multiscale neural ODE."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.arrays.trees import tree_map
from equilib.autodiff import value_and_grad
from equilib.layers import Chain, Dense, Dropout, WeightNorm
from equilib.models import (
    Autonomous,
    CellODE,
    DeepEquilibrium,
    InjectedCell,
    LayerGuess,
    MultiScaleNeuralODE,
    NeuralODE,
    ODEChain,
    OneStepGuess,
)
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.solution import OdeOptions, OdeStatus
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_ode.tsit5 import Tsit5
from tests.models.derivatives import largest_error, slopes_by_differences
from tests.models.multiscale_networks import LABELS, NETWORKS, VECTORS
from tests.models.networks import TIGHT

SHARP = OdeOptions(rtol=1e-9, atol=1e-11)
VECTOR_NETWORK, IMAGE_NETWORK = NETWORKS


def chain(**settings: Any) -> ODEChain:
    """Return a multiscale neural ODE between layers."""
    ode = MultiScaleNeuralODE(VECTORS, Tsit5(), initial_guess=OneStepGuess(), options=SHARP, **settings)
    return ODEChain(Chain(ops.tanh), ode, VECTOR_NETWORK.after)


def params() -> Any:
    """Return the parameters of the equilibrium network for the chain."""
    drawn = VECTOR_NETWORK.params("regdeq")
    return {"before": drawn["before"], "ode": drawn["deq"], "after": drawn["after"]}


def loss_of(model: ODEChain, both: Any) -> Any:
    """Return the cross-entropy at (params, x)."""
    return ops.cross_entropy(model(*both)[0], LABELS)


@cache
def slopes() -> Any:
    """Return the derivatives of the loss along directions."""
    model = chain()
    return slopes_by_differences(lambda both: loss_of(model, both), (params(), VECTOR_NETWORK.x), 1e-4)


@pytest.mark.parametrize("way", [Interpolating, Gauss, Backsolve, Discrete])
def test_the_gradient_is_that_of_differences(way: type[Any]):
    """Every sensitivity of ODEs agrees with central differences for every array of parameters and the input."""
    model = chain(sensitivity=way())
    gradient = value_and_grad(lambda both: loss_of(model, both))((params(), VECTOR_NETWORK.x))[1]
    assert largest_error(gradient, slopes()) < 1e-6


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_in_the_long_run_it_is_the_equilibrium(network: Any):
    """At t = 1 it is still on its way, at t = 60 at the fixed point: z' = f(z) − z with the same parameters."""
    drawn, x = network.params("skipdeq")["deq"], np.tanh(network.x)
    guess = LayerGuess(network.guess)
    z = DeepEquilibrium(network.cell, NewtonGMRES(), guess, options=TIGHT)(drawn, x).output
    away = []
    for end in (1.0, 60.0):
        ode = MultiScaleNeuralODE(network.cell, Tsit5(), initial_guess=guess, span=(0.0, end), options=SHARP)
        away.append(max(float(np.max(np.abs(a - b))) for a, b in zip(ode(drawn, x), z, strict=True)))
    assert away[0] > 1e-2
    assert away[1] < 1e-7


def test_it_is_an_euler_step_of_the_cell():
    """For a short time z(h) = z₀ + h (f(z₀, x) − z₀), to second order, from the initial guess."""
    drawn, x = params()["ode"], np.tanh(VECTOR_NETWORK.x)
    u = VECTORS.inject(drawn["cell"], x)
    z0 = VECTORS.step(drawn["cell"], VECTORS.zeros(drawn["cell"], u), u)
    slope = VECTORS.step(drawn["cell"], z0, u) - z0
    errors = []
    for h in (1e-2, 5e-3):
        ode = CellODE(VECTORS, Tsit5(), OneStepGuess(), span=(0.0, h), options=SHARP)
        errors.append(np.max(np.abs(VECTORS.join(ode(drawn, x)) - (z0 + h * slope))))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


def test_the_chain_returns_prediction_and_record():
    """The head gets the tuple of scales; the record says how the integration went."""
    model, drawn = chain(), params()
    assert model.init(np.random.default_rng(0)).keys() == drawn.keys()
    prediction, evolution = model(drawn, VECTOR_NETWORK.x)
    assert evolution.status == (OdeStatus.FINISHED,) * 2
    assert [part.shape for part in evolution.output] == [(2, 4), (2, 2)]
    np.testing.assert_array_equal(VECTORS.join(evolution.output), evolution.y[-1])
    np.testing.assert_array_equal(prediction, model.after(drawn["after"], evolution.output))
    parts = model.ode(drawn["ode"], np.tanh(VECTOR_NETWORK.x))
    np.testing.assert_array_equal(VECTORS.join(parts), evolution.y[-1])


def test_samples_do_not_influence_each_other():
    """With their own step sizes, a sample alone has the state it has in company, to far below the tolerance of 1e-3.

    Not to rounding: the estimate of the first step divides differences by a small number.
    """
    ode = MultiScaleNeuralODE(VECTORS, Tsit5(), options=OdeOptions(per_sample=True))
    drawn, x = params()["ode"], VECTOR_NETWORK.x
    together = ode(drawn, x)
    for one, other in zip(ode(drawn, x[:1]), together, strict=True):
        np.testing.assert_allclose(one, other[:1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["cell", "field"])
def test_weights_and_masks_are_those_of_the_pass(kind: str):
    """Dropout draws one mask for an integration, so the same numbers give the same flow, and none is inference."""
    rng = np.random.default_rng(4)
    inner = Chain(WeightNorm(Dense(5, 5)), Dropout(0.5, (5,)), ops.tanh)
    ode: Any = NeuralODE(Autonomous(inner), Tsit5(), options=SHARP)
    if kind == "cell":
        ode = CellODE(InjectedCell(Dense(5, 5), inner, Chain()), Tsit5(), options=SHARP)
    drawn, x = tree_map(lambda leaf: leaf.astype(np.float64), ode.init(rng)), rng.standard_normal((3, 5))
    one, again, other = (ode(drawn, x, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.max(np.abs(one - other)) > 1e-2
    loss = lambda both: ops.sum(ops.sin(ode(*both, rng=np.random.default_rng(1))))  # noqa: E731
    gradient = value_and_grad(loss)((drawn, x))[1]
    assert largest_error(gradient, slopes_by_differences(loss, (drawn, x), 1e-4)) < 1e-6
    np.testing.assert_array_equal(ode(drawn, x), ode(drawn, x, rng=None))
