"""Layers of no samples, as a filter of data may leave them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.arrays import in_dtype, tree_map
from equilib.autodiff import value_and_grad
from equilib.layers import (
    AveragePool,
    BatchNorm,
    Chain,
    Conv,
    Conv1d,
    ConvTranspose,
    Dense,
    Embedding,
    Flatten,
    GlobalMeanPool,
    GroupNorm,
    LayerNorm,
    MaxPool,
    MultiHeadAttention,
    RMSNorm,
    Upsample,
    WeightNorm,
)

IMAGE = (6, 6, 4)
LAYERS: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...]]] = {
    "dense": (Dense(3, 2), (3,), (2,)),
    "convolution": (Conv(4, 3, 3), IMAGE, (4, 4, 3)),
    "strided convolution": (Conv(4, 3, 3, stride=2), IMAGE, (2, 2, 3)),
    "grouped convolution": (Conv(4, 4, 3, groups=2), IMAGE, (4, 4, 4)),
    "convolution of sequences": (Conv1d(4, 3, 3), (6, 4), (4, 3)),
    "transposed convolution": (ConvTranspose(4, 3, 3, stride=2), IMAGE, (13, 13, 3)),
    "flatten": (Flatten(), IMAGE, (144,)),
    "flatten behind a convolution": (Chain(Conv(4, 3, 3), Flatten()), IMAGE, (48,)),
    "layer norm": (LayerNorm(4), IMAGE, IMAGE),
    "rms norm": (RMSNorm(4), IMAGE, IMAGE),
    "group norm": (GroupNorm(4, 2), IMAGE, IMAGE),
    "batch norm": (BatchNorm(4), IMAGE, IMAGE),
    "weight norm": (WeightNorm(Dense(3, 2)), (3,), (2,)),
    "attention": (MultiHeadAttention(4, 2, causal=True), (5, 4), (5, 4)),
    "average pool": (AveragePool(2), IMAGE, (3, 3, 4)),
    "max pool": (MaxPool(2), IMAGE, (3, 3, 4)),
    "mean of images": (GlobalMeanPool(), IMAGE, (4,)),
    "upsampling": (Upsample(2), IMAGE, (12, 12, 4)),
    "embedding": (Embedding(5, 2), (3,), (3, 2)),
}


@pytest.mark.parametrize("library", ["numpy", "torch", "jax.numpy"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_no_samples_return_none(name: str, library: str):
    """In every library the result has the shape that samples have, and the gradient by the input is as empty."""
    array = pytest.importorskip(library).asarray
    layer, shape, expected = LAYERS[name]
    tokens = isinstance(layer, Embedding)
    params = tree_map(array, in_dtype(layer.init(np.random.default_rng(0)), "float32"))
    x = array(np.zeros((0, *shape), "int32" if tokens else "float32"))
    assert tuple(layer(params, x).shape) == (0, *expected)
    if not tokens:
        assert tuple(value_and_grad(lambda x: ops.sum(layer(params, x)))(x)[1].shape) == (0, *shape)
