from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import Picard, ops
from equilib.arrays.trees import tree_leaves
from equilib.layers import Chain, Dense, Dropout, Parallel
from equilib.layers.pass_constants import draw, with_draws
from equilib.models import DeepEquilibrium
from tests.arrays_under_test import lift, lower


def test_the_mean_is_kept(rng: np.random.Generator):
    """Features become 0, or x/(1 − rate), so that their mean over many masks is x."""
    layer, x = Dropout(0.25, (6,)), np.full((20_000, 6), 3.0)
    y = layer(layer.draw(x, rng), x)
    np.testing.assert_allclose(np.unique(y), [0, 4], rtol=1e-6)
    # A feature's standard deviation is 3·√(0.25/0.75); 5 of them.
    assert np.max(np.abs(y.mean(axis=0) - 3)) < 5 * 3 * np.sqrt(1 / 3 / 20_000)
    assert abs(np.corrcoef(y[:, 0], y[:, 1])[0, 1]) < 0.05, "features are dropped independently"


def test_without_a_mask_nothing_happens(rng: np.random.Generator):
    """Without random numbers, or at rate 0, the layer is the identity, bit for bit."""
    layer, x = Dropout(0.5, (4,)), rng.standard_normal((3, 4))
    assert layer({}, x) is x
    assert with_draws(layer, {}, x, None) == {}
    assert Dropout(0.0, (4,)).draw(x, rng) == {}


def test_masks_are_arrays_like_the_batch(xp: ModuleType, rng: np.random.Generator):
    """They come in the library and dtype of the batch, and an axis of length 1 shares its mask."""
    layer, x = Dropout(0.5, (1, 1, 8)), lift(xp, rng.standard_normal((3, 4, 5, 8)), "float32")
    drawn = layer.draw(x, rng)
    assert drawn["mask"].shape == (3, 1, 1, 8)
    y = layer(drawn, x)
    assert y.dtype == xp.float32
    dropped = lower(y) == 0
    np.testing.assert_array_equal(dropped, np.broadcast_to(dropped[:, :1, :1, :], dropped.shape))
    assert 0 < dropped.mean() < 1


def test_draws_reach_every_layer_of_a_container(rng: np.random.Generator):
    """Every dropout in a container gets a mask of its own; without any, nothing is drawn."""
    chain = Chain(Dense(4, 4), Dropout(0.5, (4,)), Parallel(Dropout(0.5, (4,)), Dense(4, 4)))
    params, x = chain.init(rng), np.ones((50, 4))
    _, one, (two, _) = with_draws(chain, params, x, rng)
    assert not np.array_equal(one["mask"], two["mask"])
    state = rng.bit_generator.state
    assert tree_leaves(draw(Chain(Dense(4, 4), ops.tanh), [params[0], {}], x, rng)) == []
    assert rng.bit_generator.state == state


def test_a_shape_that_was_not_told_is_refused(rng: np.random.Generator):
    """A mask for other samples is an error, even where it would broadcast."""
    layer, x = Dropout(0.5, (4,)), rng.standard_normal((3, 4))
    drawn = layer.draw(x, rng)
    with pytest.raises(ValueError, match=r"dropout is for samples of shape \(4,\), these have shape \(3, 4\)"):
        layer(drawn, np.ones((3, 3, 4)))


@pytest.mark.parametrize(
    "held",
    [Dropout(0.5, (4,)), Chain(Dense(4, 4), Dropout(0.5, (4,))), [ops.tanh, Dropout(0.5, (4,))]],
    ids=["itself", "in a chain", "in a list"],
)
def test_a_dropout_that_nobody_names_is_refused_in_training(held: Any, rng: np.random.Generator):
    """In a cell without `children` a dropout would never drop: a training pass says so, and inference does not mind."""

    class Mine:
        layer = Dense(4, 4)  # of the class: no layer of its own

        def __init__(self) -> None:
            self.held = held

        def init(self, rng: np.random.Generator) -> Any:
            return self.layer.init(rng)

        def inject(self, params: Any, x: Any) -> Any:
            return x

        def step(self, params: Any, z: Any, u: Any) -> Any:
            return ops.tanh(ops.add(ops.multiply(self.layer(params, z), 0.1), u))

        def zeros(self, params: Any, u: Any) -> Any:
            return 0 * u

    deq, x = DeepEquilibrium(Mine(), Picard()), rng.standard_normal((2, 4)).astype(np.float32)
    params = deq.init(rng)
    deq(params, x)
    with pytest.raises(TypeError, match=r"Mine holds Dropout.* and has no children\(\)|Mine holds Chain"):
        deq(params, x, rng=rng)
