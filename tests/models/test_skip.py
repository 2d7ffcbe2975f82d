"""Skip models: trained initial guesses, prediction by them alone; states of another size than the input's."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from equilib import ImplicitAdjoint, Picard, Sensitivity, Status, Unrolled, ops
from equilib.arrays.trees import tree_map
from equilib.autodiff import value_and_grad
from equilib.layers import Chain, Conv, Dense, Flatten
from equilib.models import (
    DeepEquilibrium,
    DEQChain,
    Explicit,
    InjectedCell,
    LayerGuess,
    OneStepGuess,
    Regularization,
    SkipDEQ,
    SkipRegDEQ,
)
from equilib_newton_gmres.solver import NewtonGMRES
from tests.models.derivatives import largest_error, slopes_by_differences
from tests.models.multiscale_networks import NETWORKS
from tests.models.networks import TIGHT
from tests.models.small import CELL, batch, drawn
from tests.names import named

# The reduced state of the tutorial: images to a state of a few numbers.
REDUCED = InjectedCell(Chain(Flatten(), Dense(32, 3)), Dense(3, 3), Chain(ops.tanh))
SKIP_LAYER = Chain(Conv(2, 1), Flatten(), Dense(4, 3))
REGULARIZATION = Regularization(guess=0.5)


def reduced(guess: str, sensitivity: Sensitivity | None = None) -> DEQChain:
    """Return a network whose state is smaller than what is injected into it."""
    settings: dict[str, Any] = {"options": TIGHT, "sensitivity": sensitivity}
    deq = {
        "deq": lambda: DeepEquilibrium(REDUCED, NewtonGMRES(), **settings),
        "skipregdeq": lambda: SkipRegDEQ(REDUCED, NewtonGMRES(), **settings),
        "skipdeq": lambda: SkipDEQ(REDUCED, SKIP_LAYER, NewtonGMRES(), **settings),
    }[guess]()
    return DEQChain(Chain(ops.tanh), deq, Dense(3, 2))


def point(model: DEQChain) -> Any:
    """Draw parameters and a batch in float64."""
    rng = np.random.default_rng(1)
    params = tree_map(lambda leaf: 0.4 * (leaf + 0.3 * rng.standard_normal(leaf.shape)), model.init(rng))
    return params, rng.standard_normal((2, 4, 4, 2))


def loss_of(model: DEQChain, both: Any) -> Any:
    """Return a loss with the distance of the guess in it."""
    prediction, equilibrium = model(*both)
    return REGULARIZATION(ops.cross_entropy(prediction, np.array([1, 0])), equilibrium)


@cache
def slopes(guess: str) -> Any:
    """Return the derivatives of the loss along directions."""
    model = reduced(guess)
    return slopes_by_differences(lambda both: loss_of(model, both), point(model))


@pytest.mark.parametrize("guess", ["deq", "skipregdeq", "skipdeq"])
@pytest.mark.parametrize("sensitivity", [None, ImplicitAdjoint(), ImplicitAdjoint(Picard()), Unrolled(60)], ids=str)
def test_the_gradient_of_a_reduced_state_is_that_of_differences(guess: str, sensitivity: Sensitivity | None):
    """The state has the size of the injection, and each exact adjoint agrees with differences, regularizer and all."""
    model = reduced(guess, sensitivity)
    both = point(model)
    found = model(*both)[1]
    assert found.z.shape == found.z0.shape == (2, 3)
    assert np.max(np.abs(found.z - found.z0)) > 1e-3, "the regularizer has something to do"
    gradient = value_and_grad(lambda each: loss_of(model, each))(both)[1]
    assert largest_error(gradient, slopes(guess)) < 1e-7


def test_named_constructors_are_compositions():
    """SkipDEQ starts at a layer, SkipRegDEQ at one step; other settings are the model's."""
    layer, options = Dense(4, 5), TIGHT
    assert SkipDEQ(CELL, layer, Picard(), options=options) == DeepEquilibrium(
        CELL, Picard(), LayerGuess(layer), options=options
    )
    assert SkipRegDEQ(CELL, Picard(), options=options) == DeepEquilibrium(
        CELL, Picard(), OneStepGuess(), options=options
    )
    with pytest.raises(TypeError, match="DeepEquilibrium has no option 'tolerance'"):
        SkipRegDEQ(CELL, Picard(), tolerance=1e-3)


def test_the_regularizer_draws_the_guess_to_the_fixed_point(rng: np.random.Generator):
    """Descending |z0 − z*| alone makes the explicit prediction that of the solve, and the solve shorter."""
    deq = SkipDEQ(CELL, Dense(4, 5), Picard())
    params, x = drawn(deq), batch(rng)
    distance = lambda guess: Regularization(guess=1.0)(0.0, deq({**params, "initial_guess": guess}, x))  # noqa: E731
    guess = params["initial_guess"]
    first, before = distance(guess), deq(params, x).nfe
    for _ in range(60):
        guess = tree_map(lambda p, g: p - 0.2 * g, guess, value_and_grad(distance)(guess)[1])
    assert distance(guess) < 0.2 * first
    assert deq({**params, "initial_guess": guess}, x).nfe < before


@pytest.mark.parametrize(("guess", "cost"), [(LayerGuess(Dense(4, 5)), 0), (OneStepGuess(), 1)], ids=named)
def test_the_explicit_prediction_is_the_initial_guess(guess: Any, cost: int, rng: np.random.Generator):
    """Nothing is solved: z* is z0, f is evaluated as often as the guess needs it, no convergence is claimed."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), guess, options=TIGHT)
    params, x = drawn(deq), batch(rng)
    found, solved = Explicit(deq)(params, x), deq(params, x)
    np.testing.assert_array_equal(found.z, solved.z0)
    assert found.nfe == cost
    assert found.solution is None
    assert found.status == (Status.MAX_STEPS,) * 3
    assert np.isnan(found.residual_norm).all()


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_a_chain_predicts_explicitly(network: Any):
    """`explicit` sends the guess through the head, at several scales too, without an evaluation of f."""
    model, params = network.model("skipdeq"), network.params("skipdeq")
    prediction, found = model.explicit(params, network.x)
    parts = network.guess(params["deq"]["initial_guess"], np.tanh(network.x))
    np.testing.assert_array_equal(prediction, model.after(params["after"], parts))
    assert found.nfe == 0
    for one, other in zip(found.output, parts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_zero_guess_predicts_nothing():
    """A plain model has no explicit prediction."""
    with pytest.raises(ValueError, match="a zero guess predicts nothing: train the model with a LayerGuess or"):
        Explicit(DeepEquilibrium(CELL, Picard()))
