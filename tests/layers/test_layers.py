from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.signal import correlate
from scipy.sparse import csr_array

from equilib import ops
from equilib.arrays.trees import named_leaves, tree_leaves, tree_map
from equilib.autodiff import value_and_grad
from equilib.layers import (
    Activation,
    AveragePool,
    Chain,
    Conv,
    Conv1d,
    ConvTranspose,
    Dense,
    Dropout,
    Flatten,
    Fork,
    GlobalMeanPool,
    GroupNorm,
    Layer,
    LayerNorm,
    MaxPool,
    Merge,
    MultiHeadAttention,
    Parallel,
    RMSNorm,
    SparseProduct,
    Upsample,
    WeightNorm,
)
from tests.arrays_under_test import lift, lower
from tests.names import named

IMAGE = (2, 5, 6, 4)


def join_columns(one: Any, other: Any) -> Any:
    """Put two arrays side by side."""
    return ops.concat((one, other), 1)


LAYERS: list[tuple[Layer, tuple[int, ...]]] = [
    (Dense(4, 3), (2, 4)),
    (Dense(4, 3, bias=False), (2, 5, 4)),
    (Conv(4, 3), IMAGE),
    (Conv(4, 3, (2, 3), stride=2, padding=1), IMAGE),
    (Conv(4, 3, (1, 4), padding="same", bias=False), IMAGE),
    (GroupNorm(4, 2), IMAGE),
    (GroupNorm(4, 4), (2, 3, 4)),
    (AveragePool(2), IMAGE),
    (MaxPool(3, stride=1), IMAGE),
    (GlobalMeanPool(), IMAGE),
    (Flatten(), IMAGE),
    (Activation(ops.gelu), IMAGE),
    (Chain(Conv(4, 3), ops.tanh, Flatten(), Dense(36, 2)), IMAGE),
    (Parallel(Conv(4, 3, padding="same"), Chain(Conv(4, 3, (1, 1)), ops.relu)), IMAGE),
    (Chain(Fork(Conv(4, 3), Chain()), Merge(Flatten(), Flatten(), combine=join_columns)), IMAGE),
    (WeightNorm(Dense(4, 3)), (2, 4)),
    (WeightNorm(Conv(4, 3, (2, 3), bias=False)), IMAGE),
    (Dropout(0.5, (5, 6, 1)), IMAGE),
    (Upsample(2), IMAGE),
    (Conv(4, 6, (2, 3), padding="same", dilation=2, groups=2), IMAGE),
    (Chain(Conv(4, 4, groups=4), ops.tanh), IMAGE),
    (Conv1d(4, 3, 3, 2, "causal"), (2, 6, 4)),
    (Conv1d(4, 6, 2, padding="same", bias=False, dilation=2, groups=2), (2, 6, 4)),
    (ConvTranspose(4, 3, (3, 2), 2, 1, 1), IMAGE),
    (SparseProduct(csr_array(np.eye(3, k=1) + 0.5 * np.eye(3, k=-1))), (2, 3, 4)),
    (LayerNorm(4), (2, 3, 4)),
    (LayerNorm((3, 4)), (2, 5, 3, 4)),
    (RMSNorm(4), (2, 3, 4)),
    (MultiHeadAttention(4, 2), (2, 3, 4)),
    (MultiHeadAttention(4, 1, causal=True, bias=False), (2, 3, 4)),
]
every_layer = pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda each: named(each)[:60])


def drawn(layer: Layer, seed: int = 0) -> Any:
    """Draw parameters in float64, moved away from zeros and ones."""
    rng = np.random.default_rng(seed)
    return tree_map(lambda leaf: leaf + 0.3 * rng.standard_normal(leaf.shape), layer.init(rng))


# --- the contract


@every_layer
def test_layers_keep_the_contract(layer: Layer, shape: tuple[int, ...], rng: np.random.Generator):
    """They are Layers; parameters are float32, drawn from the generator alone; applying one changes nothing."""
    assert isinstance(layer, Layer)
    first, again, other = (layer.init(np.random.default_rng(seed)) for seed in (1, 1, 2))
    for one, two in zip(tree_leaves(first), tree_leaves(again), strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, two)
    assert (
        not tree_leaves(first)
        or isinstance(layer, GroupNorm | LayerNorm | RMSNorm)
        or any(not np.array_equal(one, two) for one, two in zip(tree_leaves(first), tree_leaves(other), strict=True))
    )
    x = rng.standard_normal(shape).astype(np.float32)
    kept = x.copy(), tree_map(np.copy, first)
    y = layer(first, x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(layer(first, x), y)
    np.testing.assert_array_equal(x, kept[0])
    for one, two in zip(tree_leaves(first), tree_leaves(kept[1]), strict=True):
        np.testing.assert_array_equal(one, two)


@every_layer
def test_no_sample_influences_another(layer: Layer, shape: tuple[int, ...], rng: np.random.Generator):
    """A sample alone, or beside a sample of nan, gives what it gives in company."""
    params, x = drawn(layer), rng.standard_normal(shape)
    together = layer(params, x)
    np.testing.assert_allclose(layer(params, x[:1]), together[:1], rtol=1e-12, atol=1e-13)
    x[1] = np.nan
    np.testing.assert_array_equal(layer(params, x)[0], together[0])


@every_layer
def test_layers_run_on_every_array_library(
    layer: Layer, shape: tuple[int, ...], xp: ModuleType, rng: np.random.Generator
):
    """Value and gradient agree with NumPy's."""
    params, x = drawn(layer), rng.standard_normal(shape)
    weight = rng.standard_normal(layer(params, x).shape)
    energy = lambda w: lambda both: ops.sum(ops.multiply(layer(*both), w))  # noqa: E731
    value, grad = value_and_grad(energy(lift(xp, weight)))((lift(xp, params), lift(xp, x)))
    expected, reference = value_and_grad(energy(weight))((params, x))
    assert float(value) == pytest.approx(float(expected), rel=1e-12)
    for one, two in zip(tree_leaves(grad), tree_leaves(reference), strict=True):
        np.testing.assert_allclose(lower(one), two, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "shape"), [each for each in LAYERS if tree_leaves(drawn(each[0]))], ids=lambda each: named(each)[:60]
)
def test_every_parameter_matters(layer: Layer, shape: tuple[int, ...], rng: np.random.Generator):
    """No parameter's gradient is zero, and each agrees with a central difference along a random direction."""
    params, x = drawn(layer), rng.standard_normal(shape)
    weight = rng.standard_normal(layer(params, x).shape)
    energy = lambda params: float(np.sum(layer(params, x) * weight))  # noqa: E731
    grad = value_and_grad(lambda params: ops.sum(ops.multiply(layer(params, x), weight)))(params)[1]
    for (name, leaf), found in zip(named_leaves(params), tree_leaves(grad), strict=True):
        direction = rng.standard_normal(leaf.shape)
        ahead, behind = (
            energy(tree_map(lambda each, s=s, leaf=leaf, d=direction: each + s * d if each is leaf else each, params))
            for s in (1e-5, -1e-5)
        )
        assert np.sum(found * direction) == pytest.approx((ahead - behind) / 2e-5, rel=1e-6, abs=1e-7), name
        assert np.max(np.abs(found)) > 1e-3, name


# --- each layer by its formula


def test_dense_by_formula(rng: np.random.Generator):
    """The last axis goes to x W + b, with W of shape (inputs, outputs)."""
    x = rng.standard_normal((2, 3, 4))
    params = drawn(Dense(4, 5))
    assert params["weight"].shape == (4, 5)
    np.testing.assert_allclose(Dense(4, 5)(params, x), x @ params["weight"] + params["bias"], rtol=1e-13)
    assert Dense(4, 5, bias=False).init(rng).keys() == {"weight"}
    assert not Dense(4, 5).init(rng)["bias"].any()


def correlation(x: np.ndarray, weight: np.ndarray, padding: Any, stride: int) -> np.ndarray:
    """Correlate channel by channel with SciPy: padding, then every stride-th place."""
    x = np.pad(x, ((0, 0), *padding, (0, 0)))
    images = [
        [
            sum(correlate(image[:, :, c], weight[:, :, c, k], "valid", "direct") for c in range(x.shape[3]))
            for k in range(weight.shape[3])
        ]
        for image in x
    ]
    return np.moveaxis(np.array(images), 1, 3)[:, ::stride, ::stride, :]


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "pads"),
    [
        ((3, 3), 1, 0, ((0, 0), (0, 0))),
        ((2, 3), 2, 1, ((1, 1), (1, 1))),
        ((3, 3), 1, "same", ((1, 1), (1, 1))),
        ((2, 4), 1, "same", ((0, 1), (1, 2))),
        ((5, 1), 1, "same", ((2, 2), (0, 0))),
        ((5, 5), 2, 2, ((2, 2), (2, 2))),
    ],
)
def test_conv_is_a_correlation(kernel: tuple[int, int], stride: int, padding: Any, pads: Any, rng: np.random.Generator):
    """Channels last, kernels (height, width, inputs, outputs), zeros around; "same" keeps the size."""
    layer = Conv(4, 3, kernel, stride, padding)
    params, x = drawn(layer), rng.standard_normal(IMAGE)
    assert params["weight"].shape == (*kernel, 4, 3)
    y = layer(params, x)
    np.testing.assert_allclose(
        y, correlation(x, params["weight"], pads, stride) + params["bias"], rtol=1e-10, atol=1e-12
    )
    if padding == "same":
        assert y.shape[:3] == x.shape[:3]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm_by_formula(groups: int, rng: np.random.Generator):
    """Each group of channels of each sample gets mean 0 and variance 1, then each channel its scale and shift."""
    layer = GroupNorm(4, groups, epsilon=1e-3)
    params, x = drawn(layer), 3 + 2 * rng.standard_normal(IMAGE)
    parts = x.reshape(2, 30, groups, 4 // groups)
    mean, variance = parts.mean(axis=(1, 3), keepdims=True), parts.var(axis=(1, 3), keepdims=True)
    normal = ((parts - mean) / np.sqrt(variance + 1e-3)).reshape(IMAGE)
    np.testing.assert_allclose(layer(params, x), normal * params["scale"] + params["shift"], rtol=1e-11)
    fresh = layer.init(rng)
    assert np.all(fresh["scale"] == 1)
    assert not fresh["shift"].any()


def windows(x: np.ndarray, window: int, stride: int, reduce: Callable[..., Any]) -> np.ndarray:
    """Reduce each window that fits."""
    rows = range(0, x.shape[1] - window + 1, stride)
    columns = range(0, x.shape[2] - window + 1, stride)
    return np.stack(
        [np.stack([reduce(x[:, i : i + window, j : j + window], axis=(1, 2)) for j in columns], 1) for i in rows], 1
    )


def test_pooling_by_formula(rng: np.random.Generator):
    """Means and largest values of windows; the stride is the window unless given; what fills no window is left out."""
    x = rng.standard_normal(IMAGE)
    for window, stride in ((2, None), (3, 1), (2, 3), (5, None)):
        step = window if stride is None else stride
        np.testing.assert_allclose(AveragePool(window, stride)({}, x), windows(x, window, step, np.mean), rtol=1e-12)
        np.testing.assert_array_equal(MaxPool(window, stride)({}, x), windows(x, window, step, np.max))
    np.testing.assert_allclose(GlobalMeanPool()({}, x), x.mean(axis=(1, 2)), rtol=1e-12)


def test_upsampling_repeats_pixels(rng: np.random.Generator):
    """Each pixel becomes a square of equal ones; the average of each square is the image again."""
    x = rng.standard_normal(IMAGE)
    large = Upsample(3)({}, x)
    np.testing.assert_array_equal(large, x.repeat(3, axis=1).repeat(3, axis=2))
    np.testing.assert_allclose(AveragePool(3)({}, large), x, rtol=1e-14)


def test_flatten_keeps_samples_apart(rng: np.random.Generator):
    """Each sample becomes its own row, in C order; an empty batch too."""
    x = rng.standard_normal(IMAGE)
    np.testing.assert_array_equal(Flatten()({}, x), x.reshape(2, -1))


# --- containers


def test_a_chain_applies_its_layers_in_order(rng: np.random.Generator):
    """Parameters are a list in the same order; plain functions count as layers without parameters."""
    first, last = Dense(4, 3), Dense(3, 2)
    chain = Chain(first, ops.tanh, last)
    params, x = drawn(chain), rng.standard_normal((5, 4))
    assert [sorted(each) for each in params] == [["bias", "weight"], [], ["bias", "weight"]]
    np.testing.assert_array_equal(chain(params, x), last(params[2], ops.tanh(first(params[0], x))))
    assert repr(chain).startswith("Chain(Dense(inputs=4, outputs=3")
    assert Chain()([], x) is x


def test_a_chain_refuses_parameters_of_another(rng: np.random.Generator):
    """Too few or too many entries are an error, not a shorter chain."""
    chain = Chain(Dense(4, 4), Dense(4, 4))
    params, x = drawn(chain), rng.standard_normal((5, 4))
    for wrong in (params[:1], [*params, {}]):
        with pytest.raises(ValueError, match="a chain of 2 layers takes as many parameters"):
            chain(wrong, x)
        with pytest.raises(ValueError, match="zip"):
            Parallel(*chain.layers)(wrong, x)


def test_parallel_combines_its_branches(rng: np.random.Generator):
    """The same input goes through every branch; results are added, or combined from left to right as told."""
    branches = [Dense(4, 3), Dense(4, 3), Dense(4, 3)]
    added = Parallel(*branches)
    params, x = drawn(added), rng.standard_normal((5, 4))
    results = [branch(own, x) for branch, own in zip(branches, params, strict=True)]
    np.testing.assert_allclose(added(params, x), sum(results), rtol=1e-13)
    subtracted = Parallel(*branches, combine=ops.subtract)(params, x)
    np.testing.assert_allclose(subtracted, results[0] - results[1] - results[2], rtol=1e-13)
    assert "Dense" in repr(added)


def test_a_merge_takes_what_a_fork_gives(rng: np.random.Generator):
    """A fork's tuple holds each branch's result; a merge sends each array through its own branch and adds them."""
    fork, merge = Fork(Dense(4, 3), Dense(4, 2)), Merge(Dense(3, 5), Dense(2, 5))
    apart, together, x = drawn(fork), drawn(merge), rng.standard_normal((6, 4))
    parts = fork(apart, x)
    for branch, own, part in zip(fork.layers, apart, parts, strict=True):
        np.testing.assert_array_equal(part, branch(own, x))
    expected = merge.layers[0](together[0], parts[0]) + merge.layers[1](together[1], parts[1])
    np.testing.assert_array_equal(merge(together, parts), expected)
    for wrong, found in ((parts[:1], "a tuple of 1"), (x, "one array")):
        with pytest.raises(ValueError, match=f"2 branches take a tuple of as many arrays, they were given {found}"):
            merge(together, wrong)


def test_layers_drawn_in_a_chain_differ(rng: np.random.Generator):
    """Equal layers of a container get different parameters from one generator."""
    for container in (Chain(Dense(4, 4), Dense(4, 4)), Parallel(Dense(4, 4), Dense(4, 4))):
        one, two = container.init(rng)
        assert not np.array_equal(one["weight"], two["weight"])
