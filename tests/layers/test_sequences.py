"""Layers of sequences: embeddings, attention, convolutions along time."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.arrays import tree_map
from equilib.autodiff import value_and_grad
from equilib.layers import Chain, Conv1d, Dense, Embedding, Layer, MultiHeadAttention
from tests.arrays_under_test import lift, lower


def drawn(layer: Layer, rng: np.random.Generator) -> Any:
    """Draw parameters in float64, moved away from zeros."""
    return tree_map(lambda leaf: leaf + 0.3 * rng.standard_normal(leaf.shape), layer.init(rng))


def test_an_embedding_has_a_vector_for_each_token(xp: ModuleType, rng: np.random.Generator) -> None:
    """Tokens of any shape and integer type become their vectors, whose gradients add up."""
    layer = Embedding(5, 3)
    params, tokens = drawn(layer, rng), np.array([[4, 0, 4], [1, 1, 4]])
    for dtype in ("int64", "uint8"):
        given = lift(xp, params), xp.asarray(tokens.astype(dtype))
        np.testing.assert_array_equal(lower(layer(*given)), params["weight"][tokens])
        loss = lambda params, given=given: ops.sum(layer(params, given[1]))  # noqa: E731
        gradient = lower(value_and_grad(loss)(given[0])[1]["weight"])
        np.testing.assert_array_equal(gradient, np.bincount(tokens.ravel(), minlength=5)[:, None] * np.ones(3))
    assert layer.init(rng)["weight"].dtype == np.float32


def test_tokens_that_are_none_are_refused(rng: np.random.Generator) -> None:
    """Numbers beyond the vectors, negative ones and floats are errors that say so; no token is none."""
    layer = Embedding(5, 3)
    params = layer.init(rng)
    for tokens in ([0, 5], [-1, 2]):
        with pytest.raises(ValueError, match="tokens are 0 to 4, and there are some from"):
            layer(params, np.array([tokens]))
    with pytest.raises(TypeError, match="an embedding takes integers, not an array of float64"):
        layer(params, np.ones((2, 3)))
    assert layer(params, np.zeros((0, 2), int)).shape == (0, 2, 3)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_pytorchs(causal: bool, rng: np.random.Generator) -> None:
    """Values and gradients of `torch.nn.MultiheadAttention` with the same weights, to itself and to a context."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
    layer = MultiHeadAttention(6, 3, causal=causal)
    params, x, context = drawn(layer, rng), rng.standard_normal((2, 4, 6)), rng.standard_normal((2, 4, 6))
    w = rng.standard_normal(x.shape)
    theirs = torch.nn.MultiheadAttention(6, 3, batch_first=True, dtype=torch.float64)
    order = ("query", "key", "value")
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.tensor(np.vstack([params[name]["weight"].T for name in order])))
        theirs.in_proj_bias.copy_(torch.tensor(np.hstack([params[name].get("bias", np.zeros(6)) for name in order])))
        theirs.out_proj.weight.copy_(torch.tensor(params["out"]["weight"].T))
        theirs.out_proj.bias.copy_(torch.tensor(params["out"]["bias"]))
    mask = torch.tensor(~np.tri(4, dtype=bool)) if causal else None
    for seen in (x, context):
        tensors = [torch.tensor(each, requires_grad=True) for each in (x, seen)]
        queries, keys = (tensors[0], tensors[0]) if seen is x else tensors
        expected, _ = theirs(queries, keys, keys, attn_mask=mask, need_weights=False)
        of_weight, of_x = torch.autograd.grad(expected, (theirs.in_proj_weight, queries), torch.tensor(w))

        def loss(both: Any, seen: np.ndarray = seen) -> Any:
            y = layer(*both, context=None if seen is x else seen)
            return ops.sum(ops.multiply(y, w)), y

        (_, y), (gradient, mine) = value_and_grad(loss, has_aux=True)((params, x))
        np.testing.assert_allclose(y, expected.detach(), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(mine, of_x, rtol=1e-12, atol=1e-12)
        stacked = np.vstack([gradient[name]["weight"].T for name in order])
        np.testing.assert_allclose(stacked, of_weight, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "layer",
    [MultiHeadAttention(4, 2, causal=True), Chain(Conv1d(4, 4, padding="causal", dilation=2), Dense(4, 4))],
    ids=["attention", "convolution"],
)
def test_a_causal_layer_sees_nothing_later(layer: Layer, rng: np.random.Generator) -> None:
    """What comes later in a sequence changes no output before it, to the bit, and the length stays."""
    params, x = drawn(layer, rng), rng.standard_normal((2, 7, 4))
    changed = x.copy()
    changed[:, 4:] += 1
    one, other = layer(params, x), layer(params, changed)
    assert one.shape == x.shape
    np.testing.assert_array_equal(one[:, :4], other[:, :4])
    assert not np.allclose(one[:, 4:], other[:, 4:])


def test_a_mask_hides_positions(rng: np.random.Generator) -> None:
    """With a mask, attention is that of the sequence without the hidden positions."""
    layer = MultiHeadAttention(4, 2)
    params, x = drawn(layer, rng), rng.standard_normal((2, 5, 4))
    seen = np.array([True, True, True, False, False])
    np.testing.assert_allclose(layer(params, x, seen)[:, :3], layer(params, x[:, :3]), rtol=1e-12, atol=1e-13)
