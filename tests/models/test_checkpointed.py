"""A fixed depth with few iterates in memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import Picard, Status, ops
from equilib.arrays.trees import tree_leaves
from equilib.autodiff import linearize, value_and_grad, vjp
from equilib.layers import Chain, Dense
from equilib.models import DeepEquilibrium, InjectedCell, LayerGuess, OneStepGuess
from tests.arrays_under_test import lift, lower
from tests.models.networks import (
    CONV,
    DENSE,
    EXPANSIVE,
    GUESSES,
    Network,
    gradient,
    gradient_by_differences,
    largest_difference,
    loss_of,
)
from tests.models.small import CELL, batch, drawn


@pytest.mark.parametrize("checkpoints", [1, 3, 20])
@pytest.mark.parametrize("guess", GUESSES)
@pytest.mark.parametrize("network", [DENSE, CONV, EXPANSIVE], ids=str)
def test_checkpoints_do_not_change_a_bit(network: Network, guess: str, checkpoints: int):
    """Record and gradient, of every parameter and the input, are those of the loop that the tape holds."""
    params = network.params(guess)
    *by_tape, whole = gradient(network, network.model(guess).unrolled(9), params)
    *found, few = gradient(network, network.model(guess).unrolled(9, checkpoints=checkpoints), params)
    np.testing.assert_array_equal(lower(few.z), lower(whole.z))
    np.testing.assert_array_equal(few.residual, whole.residual)
    assert (few.status, few.nfe) == (whole.status, whole.nfe)
    for ours, theirs in zip(tree_leaves(found), tree_leaves(by_tape), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_gradient_is_that_of_finite_differences():
    """For every parameter and the input it agrees with central differences."""
    model, params = CONV.model("regdeq").unrolled(4, checkpoints=2), CONV.params("regdeq")
    both = (params, CONV.x)
    grad = value_and_grad(lambda each: loss_of(model, *each, CONV.y))(both)[1]
    assert largest_difference(grad, gradient_by_differences(lambda each: loss_of(model, *each, CONV.y), both)) < 1e-6


def test_with_an_estimate_of_the_jacobian_only_rounding_differs(rng: np.random.Generator):
    """Where the loss uses the parameters after the loop as well, sums are taken in another order."""
    deq = DeepEquilibrium(CELL, Picard(), OneStepGuess(), jacobian_loss=True)
    params, x = drawn(deq), batch(rng)

    def loss(model: Any, params: Any) -> Any:
        found = model(params, x, rng=np.random.default_rng(4))
        return ops.add(ops.sum(found.z), found.jacobian_loss)

    few, whole = (
        value_and_grad(lambda params, model=model: loss(model, params))(params)[1]
        for model in (deq.unrolled(6, checkpoints=2), deq.unrolled(6))
    )
    for ours, theirs in zip(tree_leaves(few), tree_leaves(whole), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


def test_one_forward_pass_serves_several_backward_passes(xp: ModuleType, rng: np.random.Generator):
    """The pullback may be applied again, to other cotangents, on every array library."""
    deq = DeepEquilibrium(CELL, Picard())
    params, x = lift(xp, drawn(deq)), lift(xp, batch(rng))
    pulls = [
        vjp(lambda x, model=model: model(params, x).z, x)[1]
        for model in (deq.unrolled(8, checkpoints=2), deq.unrolled(8))
    ]
    for cotangent in (lift(xp, rng.standard_normal((3, 5))) for _ in range(3)):
        (few,), (whole,) = (pull(cotangent) for pull in pulls)
        np.testing.assert_array_equal(lower(few), lower(whole))


def test_memory_does_not_grow_with_the_depth():
    """The peak of a gradient at depth 120 is that at depth 20, give or take an iterate; without, six times that."""
    cell = InjectedCell(Dense(40, 40), Dense(40, 40), Chain(ops.tanh))
    deq = DeepEquilibrium(cell, Picard())
    params, x = deq.init(np.random.default_rng(0)), np.ones((300, 40), dtype=np.float32)

    def peak(depth: int, checkpoints: int | None) -> int:
        model = deq.unrolled(depth, checkpoints=checkpoints)
        tracemalloc.start()
        try:
            value_and_grad(lambda params: ops.sum(model(params, x).z))(params)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2, None)  # plugins are asked for kernels, once
    assert peak(120, 5) < 1.1 * peak(20, 5)
    assert peak(120, None) > 4 * peak(20, None)
    assert peak(20, 5) < 0.6 * peak(20, None)


def test_tangents_and_second_derivatives_are_those_of_the_tape(rng: np.random.Generator):
    """With checkpoints J·v and H·v are those of the loop without."""
    whole = DeepEquilibrium(CELL, Picard(), LayerGuess(Dense(4, 5))).unrolled(4)
    params, x, v = drawn(whole), batch(rng), batch(rng)

    def derivatives(deq: DeepEquilibrium) -> list[Any]:
        loss = lambda x: ops.sum(ops.sin(deq(params, x).z))  # noqa: E731
        gradient = lambda x: value_and_grad(loss)(x)[1]  # noqa: E731
        return [linearize(loss, x).jvp(v), linearize(gradient, x).jvp(v), linearize(gradient, x).vjp(v)[0]]

    found, expected = derivatives(whole.unrolled(4, checkpoints=2)), derivatives(whole)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_a_loop_that_overflows_says_so(rng: np.random.Generator):
    """An iteration that leaves the numbers ends as NONFINITE, without a warning from within."""
    cell = InjectedCell(Dense(4, 5), Dense(5, 5), Chain(lambda z: ops.multiply(z, z)))
    deq = DeepEquilibrium(cell, Picard(), fixed_depth=30, checkpoints=4)
    assert set(deq(drawn(deq, scale=10.0), batch(rng)).status) == {Status.NONFINITE}


def test_checkpoints_are_positive_and_last_as_long_as_the_depth():
    """None or at least one; a model that is unrolled again forgets those of the last time."""
    deq = DeepEquilibrium(CELL, Picard())
    assert deq.unrolled(5, checkpoints=2).unrolled(6) == replace(deq, fixed_depth=6)
    with pytest.raises(ValueError, match="option 'checkpoints' expects an int >= 1 or none, got 0"):
        deq.unrolled(3, checkpoints=0)
