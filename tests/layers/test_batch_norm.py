"""Batch normalization: an affine map when called, the statistics of a batch when observing, and its state in sight."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import Picard, ops
from equilib.arrays import tree_leaves, tree_map
from equilib.autodiff import value_and_grad
from equilib.layers import BatchNorm, Chain, Dense, Layer, Parallel, observing
from equilib.models import DeepEquilibrium, InjectedCell
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

    step = value_and_grad(loss, has_aux=True, allow_unused=True)
    first = None
    for _ in range(60):
        (value, observed), gradient = step(params)
        params, state = optimizer.update(observed, gradient, state, 0.03)
        first = value if first is None else first
    features = model.layers[0](params[0], x)
    assert value < first / 2
    np.testing.assert_allclose(params[1]["mean"], features.mean(0), atol=0.5)
    assert {leaf.dtype.name for leaf in tree_leaves(params)} == {"float32"}


def test_in_a_cell_it_is_constant(rng: np.random.Generator) -> None:
    """An equilibrium of samples is that of each sample alone, whatever the batch."""
    cell = InjectedCell(Dense(4, 4), Chain(Dense(4, 4), BatchNorm(4)), Chain(ops.tanh))
    deq = DeepEquilibrium(cell, Picard())
    params = tree_map(lambda leaf: (0.4 * leaf).astype("float64"), deq.init(rng))
    x = rng.standard_normal((6, 4))
    np.testing.assert_allclose(deq(params, x).z[2:3], deq(params, x[2:3]).z, rtol=1e-12, atol=1e-13)


def test_what_cannot_be_observed_is_refused(rng: np.random.Generator) -> None:
    """One number has no variance, the inputs inside of another container are unknown, and a momentum is a share."""
    with pytest.raises(ValueError, match="and so no variance"):
        LAYER.observe(LAYER.init(rng), np.ones((1, 4)))
    hidden = Chain(Parallel(BatchNorm(4), Dense(4, 4)))
    with pytest.raises(ValueError, match="not for one in Parallel"):
        observing(hidden, hidden.init(rng), np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"must be in \(0, 1\], got 0"):
        BatchNorm(4, momentum=0)


@pytest.mark.parametrize("shape", [(3, 5), (3, 1), (2, 3, 3)])
def test_other_channels_are_refused(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    """An x with another number of channels is refused by a sentence, and one channel is not spread to all."""
    for call in (LAYER, LAYER.observe):
        with pytest.raises(ValueError, match="BatchNorm of 4 channels, the last axis, was given the shape"):
            call(LAYER.init(rng), np.ones(shape))
