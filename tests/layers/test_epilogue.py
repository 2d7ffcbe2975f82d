"""What follows a layer: one operation with it where it can be, and the same numbers."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.arrays import tree_map
from equilib.autodiff import linearize
from equilib.layers import Activation, Chain, Conv, Dropout, GroupNorm, TakesEpilogue, WeightNorm
from equilib.layers.epilogue import apply
from equilib.models import InjectedCell
from equilib.ops import convolution_block

CONV = Conv(3, 3, padding="same")
CHAINS = {
    "conv": Chain(CONV),
    "conv, tanh": Chain(CONV, ops.tanh),
    "conv, gelu": Chain(CONV, ops.gelu),
    "conv, relu, conv": Chain(CONV, Activation(ops.relu), CONV),
    "conv, norm, relu": Chain(CONV, GroupNorm(3, 1), ops.relu),
    "weight norm, sigmoid, tanh": Chain(WeightNorm(CONV), ops.sigmoid, ops.tanh),
    "a chain in a chain": Chain(Chain(CONV, CONV), ops.tanh, Chain(CONV, ops.relu), ops.relu),
    "dropout": Chain(CONV, Dropout(0.5, (1, 1, 3))),
    "nothing": Chain(),
}


def one_by_one(layer: Any, params: Any, x: Any) -> Any:
    """Apply a chain, each of its layers by itself."""
    if isinstance(layer, Chain):
        return reduce(lambda y, each: one_by_one(*each, y), zip(layer.layers, params, strict=True), x)
    return layer(params, x)


@pytest.mark.parametrize("chain", CHAINS.values(), ids=list(CHAINS))
@pytest.mark.parametrize("activation", ["identity", "tanh"])
def test_an_epilogue_changes_how_and_not_what(chain: Chain, activation: str, rng: np.random.Generator) -> None:
    """φ(chain(x)) + after is what it is layer by layer, and so are its derivatives."""
    params = tree_map(lambda leaf: leaf + 0.1 * rng.standard_normal(leaf.shape), chain.init(rng))
    x, after = rng.standard_normal((2, 2, 5, 4, 3))

    def plainly(params: Any, x: Any, after: Any) -> Any:
        y = one_by_one(chain, params, x)
        return ops.add(y if activation == "identity" else ops.tanh(y), after)

    ours = linearize(lambda *args: apply(chain, *args[:2], activation, args[2]), params, x, after)
    theirs = linearize(plainly, params, x, after)
    np.testing.assert_allclose(ours.value, theirs.value, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(apply(chain, params, x, activation, after), theirs.value, rtol=1e-12, atol=1e-12)
    w = rng.standard_normal(x.shape)
    tree_map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11),
        ours.vjp(w, (0, 1, 2)),
        theirs.vjp(w, (0, 1, 2)),
    )
    np.testing.assert_allclose(ours.jvp(w, 1), theirs.jvp(w, 1), rtol=1e-9, atol=1e-11)


def test_a_cell_of_convolutions_is_two_operations(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """tanh(conv(tanh(conv(z)) + u)) asks for nothing but two convolutions with what follows them."""
    asked: list[tuple[str, bool, bool]] = []
    forward = convolution_block._forward

    def seen(x: Any, weight: Any, before: Any, after: Any, activation: str, *where: Any) -> Any:
        asked.append((activation, before is not None, after is not None))
        return forward(x, weight, before, after, activation, *where)

    monkeypatch.setattr(convolution_block, "_forward", seen)
    cell = InjectedCell(Chain(), Chain(Conv(3, 3, padding="same", bias=False), ops.tanh), Chain(CONV, ops.tanh))
    params, (z, u) = cell.init(rng), rng.standard_normal((2, 2, 5, 4, 3))
    cell.step(params, z, u)
    assert asked == [("tanh", False, True), ("tanh", True, False)]


def test_who_takes_an_epilogue() -> None:
    """Convolutions do, and what is made of layers; others are called as ever."""
    assert all(isinstance(each, TakesEpilogue) for each in (CONV, Chain(), WeightNorm(CONV)))
    assert not isinstance(GroupNorm(3, 1), TakesEpilogue)
