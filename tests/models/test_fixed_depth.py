from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import Picard, SolveOptions, Status, ops
from equilib.autodiff import linearize, value_and_grad
from equilib.layers import Chain, Dense
from equilib.models import DeepEquilibrium, InjectedCell, LayerGuess, OneStepGuess, ZeroGuess
from equilib_newton_gmres.solver import NewtonGMRES
from tests.models.networks import (
    CONV,
    DENSE,
    gradient_by_differences,
    largest_difference,
    loss_of,
)
from tests.models.small import CELL, batch, by_hand, drawn
from tests.names import named


@pytest.mark.parametrize("guess", [ZeroGuess(), OneStepGuess(), LayerGuess(Dense(4, 5))], ids=named)
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_fixed_depth_is_the_loop(guess: Any, depth: int, rng: np.random.Generator):
    """It is z ← f(z, u) `depth` times from the guess, bit for bit, and the record is that of the last step."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), guess).unrolled(depth)
    params, x = drawn(deq), batch(rng)
    found = deq(params, x)
    u = CELL.inject(params["cell"], x)
    iterates = [found.z0]
    for _ in range(depth):
        iterates.append(CELL.step(params["cell"], iterates[-1], u))
    np.testing.assert_array_equal(found.z, iterates[-1])
    np.testing.assert_array_equal(found.residual, iterates[-1] - iterates[-2])
    np.testing.assert_allclose(found.residual_norm, np.sqrt(np.mean(found.residual**2, axis=1)), rtol=1e-14)
    assert found.nfe == depth + guess.nfe
    assert found.solution is None
    assert set(found.status) <= {Status.MAX_STEPS, Status.CONVERGED}


def test_a_fixed_depth_injects_at_every_step(rng: np.random.Generator):
    """Each iteration sees x, as in NumPy's own formula; a loop that injects once ends elsewhere."""
    deq = DeepEquilibrium(CELL, Picard()).unrolled(5)
    params, x = drawn(deq), batch(rng)
    found, z, once = deq(params, x).z, np.zeros((3, 5)), np.zeros((3, 5))
    for k in range(5):
        z = by_hand(params, z, x)
        once = by_hand(params, once, x if k == 0 else np.zeros_like(x))
    np.testing.assert_allclose(found, z, rtol=1e-13)
    assert np.max(np.abs(found - once)) > 0.1


def test_a_fixed_depth_tells_whether_it_converged(rng: np.random.Generator):
    """The statuses are those of the last step by the usual test: a deep loop on a contraction has converged."""
    deq = DeepEquilibrium(CELL, Picard(), options=SolveOptions(rtol=1e-6, on_failure="record"))
    params, x = drawn(deq), batch(rng)
    assert set(deq.unrolled(2)(params, x).status) == {Status.MAX_STEPS}
    assert set(deq.unrolled(60)(params, x).status) == {Status.CONVERGED}
    ill = x.copy()
    ill[1] = np.nan
    statuses = deq.unrolled(60)(params, ill).status
    assert statuses == (Status.CONVERGED, Status.NONFINITE, Status.CONVERGED)


@pytest.mark.parametrize("network", [DENSE, CONV], ids=str)
@pytest.mark.parametrize("guess", ["regdeq", "skipdeq"])
def test_the_gradient_of_a_fixed_depth_is_that_of_the_loop(network: Any, guess: str):
    """It agrees with central differences for every parameter and the input."""
    model, params = network.model(guess).unrolled(3), network.params(guess)
    both = (params, network.x)
    grad = value_and_grad(lambda each: loss_of(model, *each, network.y))(both)[1]
    assert largest_difference(grad, gradient_by_differences(lambda each: loss_of(model, *each, network.y), both)) < 1e-6


def test_a_fixed_depth_has_second_derivatives(rng: np.random.Generator):
    """What an equilibrium refuses, a fixed depth gives: the Hessian's products agree with differences of gradients."""
    deq = DeepEquilibrium(CELL, Picard()).unrolled(4)
    params, x, v = drawn(deq), batch(rng), batch(rng)
    gradient = lambda x: value_and_grad(lambda x: ops.sum(deq(params, x).z))(x)[1]  # noqa: E731
    product = linearize(gradient, x).jvp(v)
    h = 1e-5
    np.testing.assert_allclose(product, (gradient(x + h * v) - gradient(x - h * v)) / (2 * h), atol=1e-8)


def test_a_fixed_depth_that_overflows_says_so(rng: np.random.Generator):
    """An iteration that leaves the numbers ends as NONFINITE, without a warning from within, like a solve."""
    cell = InjectedCell(Dense(4, 5), Dense(5, 5), Chain(lambda z: ops.multiply(z, z)))
    deq = DeepEquilibrium(cell, Picard(), fixed_depth=30)
    statuses = deq(drawn(deq, scale=10.0), batch(rng)).status
    assert set(statuses) == {Status.NONFINITE}
