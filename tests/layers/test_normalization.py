from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import value_and_grad
from equilib.layers import Chain, Conv, Dense, WeightNorm, zeros
from equilib.layers.pass_constants import prepare
from tests.names import named

LAYERS = [(Dense(4, 3), (2, 4)), (Conv(4, 3, (2, 3)), (2, 5, 6, 4))]


@pytest.mark.parametrize(("inner", "shape"), LAYERS, ids=named)
def test_the_weight_is_its_formula(inner: Any, shape: tuple[int, ...], rng: np.random.Generator):
    """W = g·v/‖v‖ with one length for each output, and at first it is what the layer draws."""
    layer = WeightNorm(inner)
    params, plain = (each.init(np.random.default_rng(3)) for each in (layer, inner))
    x = rng.standard_normal(shape).astype(np.float32)
    assert params.keys() == {"direction", "gain", "bias"}
    assert params["gain"].shape == (3,)
    np.testing.assert_allclose(layer(params, x), inner(plain, x), rtol=1e-5, atol=1e-6)
    params = {"direction": rng.standard_normal(plain["weight"].shape), "gain": rng.standard_normal(3), "bias": 0.5}
    w = params["direction"] / np.linalg.norm(params["direction"].reshape(-1, 3), axis=0) * params["gain"]
    expected = inner({"weight": w, "bias": 0.5}, x)
    np.testing.assert_allclose(layer(params, x), expected, rtol=1e-12)
    np.testing.assert_allclose(layer(prepare(layer, params), x), expected, rtol=1e-12)


def test_the_length_of_the_direction_does_not_matter(rng: np.random.Generator):
    """The layer is the same for a longer v, so its gradient is orthogonal to v, output by output (eq. 3)."""
    layer, x, c = WeightNorm(Dense(4, 3)), rng.standard_normal((2, 4)), rng.standard_normal((2, 3))
    params = {"direction": rng.standard_normal((4, 3)), "gain": rng.standard_normal(3), "bias": rng.standard_normal(3)}
    longer = {**params, "direction": 7 * params["direction"]}
    np.testing.assert_allclose(layer(longer, x), layer(params, x), rtol=1e-13)
    grad = value_and_grad(lambda p: ops.sum(ops.multiply(layer(p, x), c)))(params)[1]
    assert np.max(np.abs(grad["direction"])) > 0.1
    np.testing.assert_allclose(np.sum(grad["direction"] * params["direction"], axis=0), 0, atol=1e-14)


def test_preparing_reaches_every_layer_of_a_container(rng: np.random.Generator):
    """A chain's prepared parameters hold weights, and nothing else of it changes."""
    chain = Chain(Dense(4, 4), ops.tanh, Chain(WeightNorm(Dense(4, 3))))
    params = chain.init(rng)
    first, none, (last,) = prepared = prepare(chain, params)
    assert last.keys() == {"weight", "bias"}
    assert first is params[0]
    assert none == {}
    x = rng.standard_normal((2, 4))
    np.testing.assert_array_equal(chain(prepared, x), chain(params, x))


def test_layers_without_a_direction_are_refused(rng: np.random.Generator):
    """A layer must have a weight, and the weight a direction."""
    with pytest.raises(ValueError, match="is for layers with a parameter 'weight', which Chain"):
        WeightNorm(Chain(Dense(2, 2))).init(rng)
    with pytest.raises(ValueError, match=r"a weight of zeros has no direction: give Dense\(.*another initial weight"):
        WeightNorm(Dense(2, 2, initial_weight=zeros)).init(rng)
