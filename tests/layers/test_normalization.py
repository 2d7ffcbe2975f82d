from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from equilib import Picard, ops
from equilib.arrays import in_dtype
from equilib.autodiff import value_and_grad
from equilib.fixed_points.options import SolveOptions
from equilib.layers import Chain, Conv, Dense, WeightNorm, zeros
from equilib.layers.pass_constants import prepare
from equilib.models import DeepEquilibrium
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


def test_a_cell_that_does_not_name_it_has_it_all_the_same(rng: np.random.Generator):
    """In a cell without `children` nothing is prepared, and solution and gradients are those of one that has them."""

    class Mine:
        def __init__(self) -> None:
            self.layer = WeightNorm(Dense(4, 4))

        def init(self, rng: np.random.Generator) -> Any:
            return {"layer": self.layer.init(rng)}

        def inject(self, params: Any, x: Any) -> Any:
            return x

        def step(self, params: Any, z: Any, u: Any) -> Any:
            return ops.tanh(ops.add(ops.multiply(self.layer(params["layer"], z), 0.2), u))

        def zeros(self, params: Any, u: Any) -> Any:
            return 0 * u

    class Named(Mine):
        def children(self) -> Any:
            return {"layer": self.layer}

    models = [DeepEquilibrium(cell, Picard(), options=SolveOptions(rtol=1e-12)) for cell in (Mine(), Named())]
    x, params = rng.standard_normal((3, 4)), in_dtype(models[0].init(rng), "float64")
    own = params["cell"]["layer"]
    own["gain"] = rng.uniform(0.5, 2, 4)  # other than the direction's length, so that it shows

    def loss(params: Any, model: Any) -> Any:
        z = model(params, x).z
        return ops.sum(ops.multiply(z, z))

    (value, grad), (expected, wanted) = (value_and_grad(partial(loss, model=each))(params) for each in models)
    assert value == pytest.approx(expected, rel=1e-12)
    for name in own:
        np.testing.assert_allclose(grad["cell"]["layer"][name], wanted["cell"]["layer"][name], rtol=1e-9, atol=1e-12)
    weight, z = own["gain"] * own["direction"] / np.linalg.norm(own["direction"], axis=0), np.zeros((3, 4))
    for _ in range(200):
        z = np.tanh(0.2 * (z @ weight + own["bias"]) + x)
    assert value == pytest.approx(np.sum(z**2), rel=1e-10)


def test_layers_without_a_direction_are_refused(rng: np.random.Generator):
    """A layer must have a weight, and the weight a direction."""
    with pytest.raises(ValueError, match="is for layers with a parameter 'weight', which Chain"):
        WeightNorm(Chain(Dense(2, 2))).init(rng)
    with pytest.raises(ValueError, match=r"a weight of zeros has no direction: give Dense\(.*another initial weight"):
        WeightNorm(Dense(2, 2, initial_weight=zeros)).init(rng)
