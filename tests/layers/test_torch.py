"""Layers are PyTorch's with the same parameters: values and gradients, over strides and dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import sparse

import equilib.layers
from equilib import ops
from equilib.arrays import in_dtype, named_leaves, tree_map, tree_unflatten
from equilib.autodiff import value_and_grad
from equilib.layers import (
    Activation,
    AveragePool,
    BatchNorm,
    Chain,
    Conv,
    Conv1d,
    ConvTranspose,
    Dense,
    Dropout,
    Embedding,
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
    observing,
)

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
functional = torch.nn.functional

IMAGES, ROWS, SEQUENCES = (2, 5, 6, 4), (3, 4), (2, 6, 4)
MATRIX = np.array([[0, 2.0, 0, -1.0], [0, 0, 0, 0], [3.0, 0, 0.5, 0], [0, 1.0, 0, 0]])


class Pair(NamedTuple):
    """A layer, PyTorch's function of its parameters and x, and the shape of x."""

    layer: Layer
    theirs: Callable[[Any, Any], Any]
    shape: tuple[int, ...]


def first(function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """Return a function of parameters and x, channels last, that calls one for channels first."""
    return lambda p, x: function(p, x.movedim(-1, 1)).movedim(1, -1)


def linear(p: Any, x: Any) -> Any:
    """Return a dense layer."""
    return functional.linear(x, p["weight"].T, p.get("bias"))


def attend(p: Any, x: Any, heads: int = 2) -> Any:
    """Return causal attention of a sequence to itself."""
    split = lambda y: y.unflatten(-1, (heads, -1)).movedim(-2, 1)  # noqa: E731
    query, key, value = (split(linear(p[name], x)) for name in ("query", "key", "value"))
    found = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    return linear(p["out"], found.movedim(1, -2).flatten(-2))


def weight_norm(p: Any, x: Any) -> Any:
    """Return a dense layer whose weight has the norms `gain`."""
    v = p["direction"]
    return linear({**p, "weight": torch._weight_norm(v, p["gain"][None], 1)}, x)


PAIRS = {
    "Activation": Pair(Activation(ops.gelu), lambda p, x: functional.gelu(x, approximate="tanh"), ROWS),
    "AveragePool": Pair(AveragePool(2), first(lambda p, x: functional.avg_pool2d(x, 2)), IMAGES),
    "BatchNorm": Pair(
        BatchNorm(4),
        first(lambda p, x: functional.batch_norm(x, p["mean"], p["variance"], p["scale"], p["shift"])),
        IMAGES,
    ),
    "Chain": Pair(
        Chain(Dense(4, 3), ops.tanh, Dense(3, 2)), lambda p, x: linear(p[2], torch.tanh(linear(p[0], x))), ROWS
    ),
    "Conv": Pair(
        Conv(4, 6, (2, 3), stride=2, padding=1, dilation=2, groups=2),
        first(lambda p, x: functional.conv2d(x, p["weight"].permute(3, 2, 0, 1), p["bias"], 2, 1, 2, 2)),
        IMAGES,
    ),
    "Conv, same": Pair(
        Conv(4, 3, padding="same"),
        first(lambda p, x: functional.conv2d(x, p["weight"].permute(3, 2, 0, 1), p["bias"], padding="same")),
        IMAGES,
    ),
    "Conv1d": Pair(
        Conv1d(4, 6, 3, padding="same", dilation=2, groups=2),
        first(lambda p, x: functional.conv1d(x, p["weight"].permute(2, 1, 0), p["bias"], 1, "same", 2, 2)),
        SEQUENCES,
    ),
    "Conv1d, causal": Pair(
        Conv1d(4, 3, 3, padding="causal", bias=False),
        first(lambda p, x: functional.conv1d(functional.pad(x, (2, 0)), p["weight"].permute(2, 1, 0))),
        SEQUENCES,
    ),
    "ConvTranspose": Pair(
        ConvTranspose(4, 3, (3, 2), 2, 1, 1),
        first(lambda p, x: functional.conv_transpose2d(x, p["weight"].permute(3, 2, 0, 1), p["bias"], 2, 1, 1)),
        IMAGES,
    ),
    "Dense": Pair(Dense(4, 3), linear, (2, 5, 4)),
    "Dropout": Pair(Dropout(0.5, (4,)), lambda p, x: functional.dropout(x, 0.5, training=False), ROWS),
    "Embedding": Pair(Embedding(7, 3), lambda p, x: functional.embedding(x, p["weight"]), (2, 5)),
    "Flatten": Pair(Flatten(), lambda p, x: torch.flatten(x, 1), IMAGES),
    "Fork, Merge": Pair(
        Chain(Fork(Dense(4, 3), Chain()), Merge(Chain(), Dense(4, 3))),
        lambda p, x: linear(p[0][0], x) + linear(p[1][1], x),
        ROWS,
    ),
    "GlobalMeanPool": Pair(GlobalMeanPool(), lambda p, x: x.mean((1, 2)), IMAGES),
    "GroupNorm": Pair(GroupNorm(4, 2), first(lambda p, x: functional.group_norm(x, 2, p["scale"], p["shift"])), IMAGES),
    "LayerNorm": Pair(LayerNorm((6, 4)), lambda p, x: functional.layer_norm(x, (6, 4), p["scale"], p["shift"]), IMAGES),
    "MaxPool": Pair(MaxPool(3, stride=1), first(lambda p, x: functional.max_pool2d(x, 3, 1)), IMAGES),
    "MultiHeadAttention": Pair(MultiHeadAttention(4, 2, causal=True), attend, SEQUENCES),
    "Parallel": Pair(Parallel(Chain(), Dense(4, 4)), lambda p, x: x + linear(p[1], x), ROWS),
    "RMSNorm": Pair(RMSNorm(4), lambda p, x: functional.rms_norm(x, (4,), p["scale"], RMSNorm(4).epsilon), SEQUENCES),
    "SparseProduct": Pair(
        SparseProduct(sparse.csr_array(MATRIX)), lambda p, x: torch.tensor(MATRIX, dtype=x.dtype) @ x, (2, 4, 3)
    ),
    "Upsample": Pair(Upsample(2), first(lambda p, x: functional.interpolate(x, scale_factor=2)), IMAGES),
    "WeightNorm": Pair(WeightNorm(Dense(4, 3)), weight_norm, ROWS),
}

LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": lambda x: x,
    "Fortran's order": np.asfortranarray,
    "reversed": lambda x: np.flip(np.flip(x, -1).copy(), -1),
}


def test_every_layer_is_compared() -> None:
    """A layer without a counterpart here has not been held to PyTorch."""
    public = {name: getattr(equilib.layers, name) for name in equilib.layers.__all__}
    layers = {name for name, each in public.items() if isinstance(each, type) and hasattr(each, "init")}
    compared = {name for key in PAIRS for name in key.replace(", same", "").replace(", causal", "").split(", ")}
    assert compared == layers - {"Composite", "Layer"}


def compare(pair: Pair, dtype: str, layout: str, rng: np.random.Generator, tolerance: float) -> None:
    """Hold the value and the cotangents of x and the parameters to PyTorch's, in a dtype; nothing may be widened."""
    layer, theirs, shape = pair
    drawn = tree_map(lambda leaf: leaf + 0.3 * rng.uniform(size=leaf.shape), layer.init(rng))
    x = rng.integers(0, 7, shape) if isinstance(layer, Embedding) else rng.standard_normal(shape)
    given = tree_map(LAYOUTS[layout], in_dtype((x, drawn), dtype))
    leaves = dict(named_leaves(given))
    constant = ("1/mean", "1/variance") if isinstance(layer, BatchNorm) else ()
    moving = {name: leaf for name, leaf in leaves.items() if leaf.dtype.kind == "f" and name not in constant}
    tensors = {name: torch.tensor(np.ascontiguousarray(leaf)) for name, leaf in leaves.items()}
    wanted = [tensors[name].requires_grad_() for name in moving]
    other_x, other_params = tree_unflatten(given, list(tensors.values()))
    expected = theirs(other_params, other_x)
    w = rng.standard_normal(tuple(expected.shape)).astype(dtype)
    cotangents = torch.autograd.grad(expected, wanted, torch.tensor(w))

    def loss(moving: Any) -> Any:
        x, params = tree_unflatten(given, list({**leaves, **moving}.values()))
        y = layer(params, x)
        return ops.sum(ops.multiply(y, w)), y

    (_, y), gradient = value_and_grad(loss, has_aux=True)(moving)
    for mine, other in zip([y, *gradient.values()], [expected.detach(), *cotangents], strict=True):
        assert mine.dtype == np.dtype(dtype)
        np.testing.assert_allclose(mine, other.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", PAIRS)
def test_values_and_gradients_are_pytorchs(name: str, layout: str, rng: np.random.Generator) -> None:
    """In float64 they agree to 1e-12, whatever the strides of x and of the parameters."""
    compare(PAIRS[name], "float64", layout, rng, 1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_single_precision_is_pytorchs(name: str, rng: np.random.Generator) -> None:
    """In float32 they agree to rounding."""
    compare(PAIRS[name], "float32", "contiguous", rng, 3e-5)


def test_batch_norm_in_training_is_pytorchs(rng: np.random.Generator) -> None:
    """By the statistics of the batch, and with the running ones moved as PyTorch's are."""
    layer, x = BatchNorm(4), rng.standard_normal(IMAGES)
    theirs = torch.nn.BatchNorm2d(4, dtype=torch.float64)
    expected = theirs(torch.tensor(x).movedim(-1, 1)).movedim(1, -1)
    y, moved = observing(layer, in_dtype(layer.init(rng), "float64"), x)
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moved["mean"], theirs.running_mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moved["variance"], theirs.running_var, rtol=1e-12)
