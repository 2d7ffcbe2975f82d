from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import JacobianFree, Picard, SolveOptions, Unrolled, ops
from equilib.arrays import tree_leaves, tree_map
from equilib.autodiff import value_and_grad
from equilib.models import (
    DeepEquilibrium,
    OneStepGuess,
    Regularization,
    guess_distance,
    jacobian_size,
    residual_size,
)
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import lift
from tests.models.networks import TIGHT, gradient_by_differences, largest_difference
from tests.models.small import CELL, batch, by_hand, drawn


def model(**settings: Any) -> DeepEquilibrium:
    """Return a model that returns everything a loss may ask for."""
    return DeepEquilibrium(CELL, NewtonGMRES(), OneStepGuess(), jacobian_loss=True, residual_loss=True, **settings)


def test_terms_are_their_formulas(xp: ModuleType, rng: np.random.Generator):
    """Mean |z0 − z*|, mean (f(z) − z)², and the estimate of the Jacobian, added with their weights."""
    deq = model(fixed_depth=3)
    params, x = drawn(deq), batch(rng)
    found = deq(lift(xp, params), lift(xp, x), rng=np.random.default_rng(1))
    z0 = by_hand(params, np.zeros((3, 5)), x)
    z = z0
    for _ in range(3):
        z = by_hand(params, z, x)
    expected = np.mean(np.abs(z0 - z)), np.mean((by_hand(params, z, x) - z) ** 2), float(found.jacobian_loss)
    for term, value in zip((guess_distance, residual_size, jacobian_size), expected, strict=True):
        assert float(term(found)) == pytest.approx(value, rel=1e-12)
    total = Regularization(guess=2.0, residual=3.0, jacobian=4.0)(xp.asarray(0.5), found)
    assert float(total) == pytest.approx(0.5 + np.dot([2, 3, 4], expected), rel=1e-12)


def test_the_residual_costs_one_evaluation(rng: np.random.Generator):
    """It is evaluated where it is asked for, and counted."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), OneStepGuess())
    params, x = drawn(deq), batch(rng)
    without, asked = deq(params, x), model()(params, x)
    assert asked.nfe == without.nfe + 1
    assert without.residual_loss is None
    assert float(asked.residual_loss) == pytest.approx(float(np.mean(asked.residual**2)), rel=1e-6)


@pytest.mark.parametrize("depth", [0, 2])
def test_a_regularized_loss_has_the_gradient_of_differences(depth: int, rng: np.random.Generator):
    """All terms together, of an equilibrium and of a fixed depth, agree for every parameter and the input."""
    deq = model(options=TIGHT, fixed_depth=depth)
    both = drawn(deq), batch(rng)
    regularization = Regularization(guess=0.5, residual=2.0, jacobian=0.7)

    def loss(both: Any) -> Any:
        found = deq(*both, rng=np.random.default_rng(2))
        return regularization(ops.mean(found.z), found)

    gradient = value_and_grad(loss)(both)[1]
    assert largest_difference(gradient, gradient_by_differences(loss, both, 1e-5)) < 1e-8


def test_at_a_fixed_depth_the_residual_can_be_trained_away(rng: np.random.Generator):
    """Its gradient is not zero there: a step against it makes the last iterate a better fixed point."""
    deq = model(fixed_depth=2)
    params, x = drawn(deq), batch(rng)
    size = lambda cell: residual_size(deq({**params, "cell": cell}, x))  # noqa: E731
    value, gradient = value_and_grad(size)(params["cell"])
    assert size(tree_map(lambda p, g: p - 10 * g, params["cell"], gradient)) < 0.9 * value


def test_a_term_that_was_not_asked_for_is_an_error(rng: np.random.Generator):
    """A weight without what it weighs is refused with the remedy, and not taken for zero; weight 0 asks for nothing."""
    deq = DeepEquilibrium(CELL, Picard())
    found = deq(drawn(deq), batch(rng))
    assert Regularization()(1.5, found) == 1.5
    with pytest.raises(ValueError, match="set residual_loss=True"):
        Regularization(residual=1e-3)(0.0, found)
    with pytest.raises(ValueError, match=r"set jacobian_loss=True and call it with rng=\.\.\."):
        Regularization(jacobian=1.0)(0.0, found)
    with pytest.raises(ValueError, match=r"guess of Regularization must be a number in \[0, inf\), got -1"):
        Regularization(guess=-1)


@pytest.mark.parametrize("sensitivity", [None, Unrolled(60), JacobianFree()], ids=str)
def test_the_residual_has_the_gradient_at_the_computed_z(sensitivity: Any, rng: np.random.Generator):
    """After a solve z is a constant of it: the gradient is that of ‖f(z, x; θ) − z‖² by differences in θ, not zero."""
    deq = DeepEquilibrium(
        CELL,
        Picard(),
        sensitivity=sensitivity,
        residual_loss=True,
        options=SolveOptions(max_steps=2, on_failure="record"),
    )
    params, x = drawn(deq), batch(rng)
    z = deq(params, x).z
    _, gradient = value_and_grad(lambda p: deq(p, x).residual_loss)(params)
    expected = gradient_by_differences(lambda p: np.mean((by_hand(p, z, x) - z) ** 2), params)
    assert max(np.abs(leaf).max() for leaf in tree_leaves(gradient)) > 1e-3
    assert largest_difference(gradient, expected) < 1e-7
