"""Batch normalization: an affine map when called, the statistics of a batch when observing, and its state in sight."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import Picard, ops
from equilib.arrays import tree_leaves, tree_map
from equilib.autodiff import jvp, value_and_grad
from equilib.layers import BatchNorm, Chain, Dense, Dropout, Fork, KaimingUniform, Layer, Merge, Parallel, observing
from equilib.models import Autonomous, DeepEquilibrium, DEQChain, InjectedCell, NeuralODE, ODEChain
from equilib.training.optimizers import Adam
from tests.arrays_under_test import lift, lower

LAYER = BatchNorm(4, momentum=0.3, epsilon=1e-3)


def drawn(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw parameters whose variance is positive."""
    return {name: rng.uniform(0.5, 2.0, 4) for name in ("scale", "shift", "mean", "variance")}


def test_called_it_is_an_affine_map_of_each_sample(xp: ModuleType, rng: np.random.Generator) -> None:
    """The running statistics are constants: no sample influences another, and they have no gradient."""
    params, x = drawn(rng), rng.standard_normal((3, 2, 4))
    expected = (x - params["mean"]) / np.sqrt(params["variance"] + 1e-3) * params["scale"] + params["shift"]
    assert isinstance(LAYER, Layer)
    assert {leaf.dtype.name for leaf in tree_leaves(LAYER.init(rng))} == {"float32"}
    given, images = lift(xp, params), lift(xp, x)
    np.testing.assert_allclose(lower(LAYER(given, images)), expected, rtol=1e-12)
    loss = lambda params: ops.sum(LAYER(params, images))  # noqa: E731
    gradient = lower(value_and_grad(loss, allow_unused=True)(given)[1])
    assert not gradient["mean"].any()
    assert not gradient["variance"].any()
    assert gradient["scale"].all()
    x[1] = np.nan
    np.testing.assert_array_equal(LAYER(params, x)[[0, 2]], LAYER(params, x[[0, 2]]))


def test_observing_moves_the_statistics(xp: ModuleType, rng: np.random.Generator) -> None:
    """A batch is normalized to mean 0 and variance 1, and the running statistics go the share `momentum` towards it."""
    params, x = lift(xp, drawn(rng)), lift(xp, 3 + 2 * rng.standard_normal((5, 3, 4)))
    y, moved = LAYER.observe(params, x)
    normal = (lower(y) - lower(params)["shift"]) / lower(params)["scale"]
    np.testing.assert_allclose(normal.mean((0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(normal.var((0, 1)), 1, atol=1e-3)
    was, now, batch = lower(params), lower(moved), lower(x)
    np.testing.assert_allclose(now["mean"], 0.7 * was["mean"] + 0.3 * batch.mean((0, 1)), rtol=1e-12)
    np.testing.assert_allclose(now["variance"], 0.7 * was["variance"] + 0.3 * batch.var((0, 1), ddof=1), rtol=1e-12)
    for name in ("scale", "shift"):
        np.testing.assert_array_equal(now[name], was[name])


@pytest.mark.parametrize("wide", ["float32", "float64"])
def test_statistics_keep_their_type(wide: str, rng: np.random.Generator) -> None:
    """Whatever the batch is of, running statistics stay in the type that they are in."""
    for own in ("float16", "float32", "float64"):
        params = tree_map(lambda leaf, own=own: leaf.astype(own), drawn(rng))
        _, moved = LAYER.observe(params, rng.standard_normal((5, 4)).astype(wide))
        assert {leaf.dtype.name for leaf in tree_leaves(moved)} == {own}


def test_both_modes_are_pytorchs(rng: np.random.Generator) -> None:
    """Values, gradients and running statistics of `torch.nn.BatchNorm1d`, in training and in evaluation."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
    params, w = drawn(rng), rng.standard_normal((5, 4))
    theirs = torch.nn.BatchNorm1d(4, eps=1e-3, momentum=0.3, dtype=torch.float64)
    with torch.no_grad():
        for name, tensor in zip(
            params, (theirs.weight, theirs.bias, theirs.running_mean, theirs.running_var), strict=True
        ):
            tensor.copy_(torch.tensor(params[name]))
    for _ in range(3):
        x = rng.standard_normal((5, 4))

        def loss(both: Any) -> Any:
            y, moved = LAYER.observe(*both)
            return ops.sum(ops.multiply(y, w)), (y, moved)

        (_, (y, moved)), (gradient, of_x) = value_and_grad(loss, has_aux=True, allow_unused=True)((params, x))
        tensor = torch.tensor(x, requires_grad=True)
        expected = theirs(tensor)
        found = torch.autograd.grad(expected, (theirs.weight, theirs.bias, tensor), torch.tensor(w))
        for mine, other in zip((y, gradient["scale"], gradient["shift"], of_x), (expected, *found), strict=True):
            np.testing.assert_allclose(mine, other.detach(), rtol=1e-12, atol=1e-12)
        params = moved
        np.testing.assert_allclose(params["mean"], theirs.running_mean, rtol=1e-12)
        np.testing.assert_allclose(params["variance"], theirs.running_var, rtol=1e-12)
    np.testing.assert_allclose(LAYER(params, x), theirs.eval()(torch.tensor(x)).detach(), rtol=1e-12, atol=1e-12)


def test_a_loop_of_ones_own_trains_it(rng: np.random.Generator) -> None:
    """Observing in the loss and updating what it returns learns the data's statistics; an optimizer keeps them."""
    model, optimizer = Chain(Dense(3, 4), BatchNorm(4), ops.tanh, Dense(4, 1)), Adam()
    params = model.init(rng)
    state = optimizer.init(params)
    x = 5 + rng.standard_normal((64, 3)).astype(np.float32)

    def loss(params: Any) -> Any:
        y, observed = observing(model, params, x)
        return ops.mse(y, x[:, :1]), observed

    step = value_and_grad(loss, has_aux=True)  # no derivative by the statistics is no mistake here
    first = None
    for _ in range(60):
        (value, observed), gradient = step(params)
        params, state = optimizer.update(observed, gradient, state, 0.03)
        first = value if first is None else first
    features = model.layers[0](params[0], x)
    assert value < first / 2
    np.testing.assert_allclose(params[1]["mean"], features.mean(0), atol=0.5)
    assert {leaf.dtype.name for leaf in tree_leaves(params)} == {"float32"}


SMALL = KaimingUniform(gain=0.3)


def deq_of(layer: Any) -> DeepEquilibrium:
    """Return an equilibrium of tanh(layer(W z) + V x)."""
    return DeepEquilibrium(
        InjectedCell(Dense(4, 4), Chain(Dense(4, 4, initial_weight=SMALL), layer), Chain(ops.tanh)), "picard"
    )


@dataclass(frozen=True)
class Own:
    """A class of one's own around a layer, which says nothing about what the layer sees."""

    layer: Any

    def init(self, rng: np.random.Generator) -> Any:
        """Draw the layer's parameters."""
        return self.layer.init(rng)

    def __call__(self, params: Any, x: Any) -> Any:
        """Apply the layer to 2x."""
        return self.layer(params, 2 * x)


def same(x: Any) -> Any:
    """Return x."""
    return x


COMPOSED = {
    "chain": (Chain(same, LAYER), lambda params: params[1]),
    "chain in a chain": (Chain(Chain(LAYER), same), lambda params: params[0][0]),
    "fork": (Fork(LAYER, same), lambda params: params[0]),
    "parallel": (Parallel(same, LAYER), lambda params: params[1]),
    "merge": (Chain(Fork(same, same), Merge(same, LAYER)), lambda params: params[1][1]),
    "before an equilibrium": (DEQChain(LAYER, deq_of(Chain()), Dropout(0.5, (4,))), lambda params: params["before"]),
    "before an integration": (
        ODEChain(Chain(LAYER), NeuralODE(Autonomous(Chain(ops.tanh)), "tsit5"), Chain()),
        lambda params: params["before"][0],
    ),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_observing_reaches_it_wherever_it_sees_the_batch(name: str, rng: np.random.Generator) -> None:
    """In every composition the running statistics are those of the layer alone; nothing else changes."""
    model, own = COMPOSED[name]
    params, x = tree_map(lambda leaf: leaf.astype("float64"), model.init(rng)), 3 + rng.standard_normal((6, 4))
    y, moved = LAYER.observe(own(params), x)
    result, observed = observing(model, params, x)
    for key, expected in moved.items():
        np.testing.assert_array_equal(own(observed)[key], expected)
    changed = tree_map(lambda before, after: not np.array_equal(before, after), params, observed)
    assert sum(tree_leaves(changed)) == 2
    if name in ("fork", "parallel", "merge"):
        expected = x + y if name != "fork" else y
        np.testing.assert_array_equal(result[0] if name == "fork" else result, expected)


@pytest.mark.parametrize("whole", [DEQChain, ODEChain])
def test_an_observed_chain_is_its_parts(whole: Any, rng: np.random.Generator) -> None:
    """What is behind the equilibrium sees its output, random arrays are those of a call, and none is a parameter."""
    middle = deq_of(Chain()) if whole is DEQChain else NeuralODE(Autonomous(Chain(ops.tanh)), "tsit5")
    model = whole(Chain(Dropout(0.5, (4,)), LAYER), middle, Chain(LAYER, Dropout(0.5, (4,))))
    params, x = tree_map(lambda leaf: leaf.astype("float64"), model.init(rng)), 3 + rng.standard_normal((6, 4))
    (prediction, record), observed = model.observe(params, x, rng=np.random.default_rng(1))
    assert [leaf.shape for leaf in tree_leaves(observed)] == [leaf.shape for leaf in tree_leaves(params)]
    z = record.z if whole is DEQChain else record.output
    normal, moved = LAYER.observe(params["after"][0], z)
    np.testing.assert_array_equal(observed["after"][0]["mean"], moved["mean"])
    kept = prediction != 0
    assert 0 < kept.sum() < kept.size
    np.testing.assert_allclose(prediction[kept], 2 * normal[kept], rtol=1e-12)


def test_a_zero_derivative_is_no_missing_one(rng: np.random.Generator) -> None:
    """By the running statistics an observed layer has the derivative zero, in both modes and twice, which is known."""
    params, x = drawn(rng), rng.standard_normal((5, 4))
    loss = lambda params: ops.sum(ops.pow(LAYER.observe(params, x)[0], 3.0))  # noqa: E731
    gradient = value_and_grad(loss)(params)[1]
    assert not gradient["mean"].any()
    assert gradient["scale"].all()
    along = {name: np.ones(4) for name in params}
    _, push = jvp(loss, (params,), (along,))
    np.testing.assert_allclose(push, sum(leaf.sum() for leaf in gradient.values()), rtol=1e-12)
    twice = value_and_grad(lambda params: ops.sum(value_and_grad(loss)(params)[1]["scale"]))(params)[1]
    step = 1e-6
    moved = {**params, "scale": params["scale"] + step}
    numeric = (value_and_grad(loss)(moved)[1]["scale"] - gradient["scale"]) / step
    np.testing.assert_allclose(twice["scale"], numeric, rtol=1e-4)


def test_in_a_cell_it_is_constant(rng: np.random.Generator) -> None:
    """An equilibrium of samples is that of each sample alone, whatever the batch."""
    cell = InjectedCell(Dense(4, 4), Chain(Dense(4, 4), BatchNorm(4)), Chain(ops.tanh))
    deq = DeepEquilibrium(cell, Picard())
    params = tree_map(lambda leaf: (0.4 * leaf).astype("float64"), deq.init(rng))
    x = rng.standard_normal((6, 4))
    np.testing.assert_allclose(deq(params, x).z[2:3], deq(params, x[2:3]).z, rtol=1e-12, atol=1e-13)


def test_what_cannot_be_observed_is_refused(rng: np.random.Generator) -> None:
    """One number has no variance, nobody knows what the layers of another class see, and a momentum is a share."""
    with pytest.raises(ValueError, match="no variance: give more"):
        LAYER.observe(LAYER.init(rng), np.ones((1, 4)))
    for hidden, where in ((deq_of(BatchNorm(4)), "DeepEquilibrium"), (Own(BatchNorm(4)), "Own")):
        with pytest.raises(ValueError, match=f"a BatchNorm in {where} cannot use the statistics"):
            observing(hidden, hidden.init(rng), np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"must be a number in \(0, 1\], got 0"):
        BatchNorm(4, momentum=0)


@pytest.mark.parametrize("shape", [(3, 5), (3, 1), (2, 3, 3)])
def test_other_channels_are_refused(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    """An x with another number of channels is refused by a sentence, and one channel is not spread to all."""
    for call in (LAYER, LAYER.observe):
        with pytest.raises(ValueError, match="BatchNorm of 4 channels, the last axis, was given the shape"):
            call(LAYER.init(rng), np.ones(shape))
