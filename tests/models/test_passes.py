"""What is constant during a solve: weights that are computed once, masks that are drawn once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from equilib import ImplicitAdjoint, Picard, Sensitivity, SolveOptions, Status, Unrolled, ops
from equilib.arrays.trees import tree_map
from equilib.autodiff import static_value, value_and_grad
from equilib.layers import Chain, Dense, Dropout, WeightNorm
from equilib.models import DeepEquilibrium, DEQChain, InjectedCell, LayerGuess, OneStepGuess
from equilib_newton_gmres.solver import NewtonGMRES
from tests.models.derivatives import largest_error, slopes_by_differences
from tests.models.networks import TIGHT

NORMED = InjectedCell(WeightNorm(Dense(4, 5)), WeightNorm(Dense(5, 5)), Chain(ops.tanh))
DROPPING = InjectedCell(Dense(4, 5), Chain(Dropout(0.4, (5,)), Dense(5, 5)), Chain(ops.tanh, Dropout(0.2, (5,))))


def point(deq: Any, samples: int = 3) -> Any:
    """Draw parameters, of a contraction, and a batch in float64."""
    rng = np.random.default_rng(3)
    params = tree_map(lambda leaf: 0.5 * (leaf + 0.3 * rng.standard_normal(leaf.shape)), deq.init(rng))
    return params, rng.standard_normal((samples, 4))


# --- weight normalization


@dataclass(frozen=True)
class CountingNorm(WeightNorm):
    """A layer that counts how often its weight is computed."""

    counts: Any = None

    def prepare(self, params: Any) -> Any:
        """Count, and prepare."""
        self.counts.append(1)
        return super().prepare(params)


@pytest.mark.parametrize("depth", [0, 6])
def test_the_weight_is_computed_once_for_a_solve(depth: int):
    """However many evaluations there are, forward and backward, w is computed once, and differentiated once."""
    counts: list[int] = []
    cell = replace(NORMED, recur=CountingNorm(Dense(5, 5), counts))
    deq = DeepEquilibrium(cell, NewtonGMRES(), OneStepGuess(), fixed_depth=depth)
    params, x = point(deq)
    value_and_grad(lambda p: ops.sum(deq(p, x).z))(params)
    assert len(counts) == 1


def test_prepared_weights_change_nothing():
    """The fixed point is that of the cell that computes its weights at every step."""
    deq = DeepEquilibrium(NORMED, NewtonGMRES(), options=TIGHT)
    params, x = point(deq)
    z, own = deq(params, x).z, params["cell"]
    np.testing.assert_allclose(NORMED.step(own, z, NORMED.inject(own, x)), z, atol=1e-12)


@cache
def slopes(depth: int) -> Any:
    """Return the derivatives of the loss of the normalized model."""
    deq = DeepEquilibrium(NORMED, NewtonGMRES(), LayerGuess(WeightNorm(Dense(4, 5))), options=TIGHT, fixed_depth=depth)
    return slopes_by_differences(lambda both: loss_of(deq, both), point(deq))


def loss_of(deq: Any, both: Any) -> Any:
    """Return a loss of the fixed point and the guess."""
    found = deq(*both)
    return ops.sum(ops.multiply(ops.sin(found.z), ops.cos(found.z0)))


@pytest.mark.parametrize(
    ("sensitivity", "depth"),
    [(None, 0), (ImplicitAdjoint(), 0), (ImplicitAdjoint(Picard()), 0), (Unrolled(80), 0), (None, 3)],
    ids=str,
)
def test_the_gradient_of_weight_normed_models_is_that_of_differences(sensitivity: Sensitivity | None, depth: int):
    """Directions and gains, of the cell and of the guess, get the gradient of central differences."""
    guess = LayerGuess(WeightNorm(Dense(4, 5)))
    deq = DeepEquilibrium(NORMED, NewtonGMRES(), guess, sensitivity, TIGHT, fixed_depth=depth)
    both = point(deq)
    gradient = value_and_grad(lambda each: loss_of(deq, each))(both)[1]
    assert largest_error(gradient, slopes(depth)) < 1e-8


# --- dropout


@dataclass(frozen=True)
class Watching(Dropout):
    """Dropout that keeps the masks it is applied with."""

    masks: Any = None

    def __call__(self, params: Any, x: Any) -> Any:
        """Note the mask, and apply it."""
        self.masks.append(np.array(static_value(params["mask"])) if "mask" in params else None)
        return super().__call__(params, x)


@pytest.mark.parametrize("solver", [Picard(), NewtonGMRES()], ids=str)
@pytest.mark.parametrize("depth", [0, 6])
def test_a_mask_is_constant_during_a_solve_and_differs_between_solves(solver: Any, depth: int):
    """Every evaluation of a pass, forward and backward, has the same mask; the next pass has another."""
    masks: list[Any] = []
    cell = replace(DROPPING, recur=Chain(Watching(0.4, (5,), masks), Dense(5, 5)))
    options = SolveOptions(on_failure="record")
    deq = DeepEquilibrium(cell, solver, OneStepGuess(), options=options, fixed_depth=depth)
    params, x = point(deq, samples=20)
    rng, seen = np.random.default_rng(0), []
    for _ in range(2):
        masks.clear()
        value_and_grad(lambda p: ops.sum(deq(p, x, rng=rng).z))(params)
        assert len(masks) > 5
        samples = {mask.shape[0] for mask in masks}
        assert max(samples) == 20
        first = masks[0]
        rows = {row.tobytes() for row in first}
        for mask in masks:  # finished samples may be left out of an evaluation, with their masks
            assert {row.tobytes() for row in mask} <= rows
            assert mask.shape != first.shape or np.array_equal(mask, first)
        seen.append(first)
    assert not np.array_equal(*seen)


def test_inference_is_without_dropout():
    """Without random numbers the model is the one without dropout, bit for bit."""
    deq = DeepEquilibrium(DROPPING, NewtonGMRES(), options=TIGHT)
    plain = replace(deq, cell=InjectedCell(Dense(4, 5), Dense(5, 5), Chain(ops.tanh)))
    params, x = point(deq)
    own = params["cell"]
    found = plain({**params, "cell": {**own, "recur": own["recur"][1], "after": [{}]}}, x)
    np.testing.assert_array_equal(deq(params, x).z, found.z)
    dropped = deq(params, x, rng=np.random.default_rng(0))
    assert dropped.status == (Status.CONVERGED,) * 3
    assert np.max(np.abs(dropped.z - found.z)) > 1e-2


def test_the_gradient_through_a_mask_is_that_of_differences():
    """With the same random numbers f is the same map, so its fixed point has a derivative, the differences'."""
    deq = DeepEquilibrium(DROPPING, NewtonGMRES(), OneStepGuess(), options=TIGHT)
    both = point(deq)

    def loss(both: Any) -> Any:
        return ops.sum(ops.sin(deq(*both, rng=np.random.default_rng(5)).z))

    gradient = value_and_grad(loss)(both)[1]
    assert largest_error(gradient, slopes_by_differences(loss, both)) < 1e-8


def test_a_chain_drops_before_and_after_too():
    """Dropout around the equilibrium gets its masks from the same random numbers, and none without."""
    deq = DeepEquilibrium(DROPPING, NewtonGMRES(), LayerGuess(Chain(Dense(4, 5), Dropout(0.5, (5,)))), options=TIGHT)
    before, after = Chain(ops.tanh, Dropout(0.5, (4,))), Chain(Dropout(0.5, (5,)), Dense(5, 5, bias=False))
    model = DEQChain(before, deq, after)
    params, x = point(model, samples=8)
    one, again, other = (model(params, x, rng=np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    plain, found = model(params, x)
    expected = deq(params["deq"], np.tanh(x))
    np.testing.assert_array_equal(found.z0, expected.z0)
    np.testing.assert_array_equal(plain, expected.z @ params["after"][1]["weight"])
