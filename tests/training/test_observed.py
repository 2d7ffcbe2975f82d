"""Training by the statistics of batches: what a BatchNorm in a model gets, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import value_and_grad
from equilib.errors import UserError
from equilib.layers import BatchNorm, Chain, Dense, observing
from equilib.models import InjectedCell
from equilib.training.optimizers import Adam, clipped
from equilib.training.plan import Plan
from equilib.training.schedules import Constant
from tests.training.small import FEATURES, STATE, TRAIN, clusters, network, trainer

PLAN = Plan(epochs=2, batch_size=10)


def normalized() -> Any:
    """Return the small network with a BatchNorm in front of its equilibrium."""
    return replace(network(), before=Chain(Dense(FEATURES, STATE), BatchNorm(STATE)))


def test_the_trainer_is_the_loop_of_ones_own() -> None:
    """Its batches move statistics and parameters as `observing`, the gradient and the optimizer do in a loop."""
    model, data = normalized(), clusters()
    subject = trainer(model, plan=replace(PLAN, epochs=1), schedule=Constant(1e-2))
    rng = np.random.default_rng(0)
    params = model.init(rng)
    optimizer = Adam()
    state, order = optimizer.init(params), rng.permutation(TRAIN)

    def loss(params: Any, rows: np.ndarray) -> Any:
        (prediction, record), observed = observing(model, params, data.train_inputs[rows])
        return subject.objective.loss(prediction, record, data.train_targets[rows]), observed

    for start in range(0, TRAIN, 10):
        (_, observed), gradient = value_and_grad(loss, has_aux=True)(params, order[start : start + 10])
        params, state = optimizer.update(observed, clipped(gradient, 0.0, None), state, 1e-2)
    list(subject.epochs())
    for name, leaf in params["before"][1].items():
        np.testing.assert_allclose(subject.params["before"][1][name], leaf, rtol=1e-5)
        assert not np.array_equal(leaf, model.init(np.random.default_rng(0))["before"][1][name])


def test_statistics_are_no_optimizers() -> None:
    """Whatever an optimizer makes of a gradient of zero, the statistics are those of the batches."""

    @dataclass(frozen=True)
    class Shrinking(Adam):
        def update(self, params: Any, gradient: Any, state: Any, rate: float) -> Any:
            new, state = super().update(params, gradient, state, 0.0)
            return {**new, "before": [new["before"][0], {k: 0 * v for k, v in new["before"][1].items()}]}, state

    plan = replace(PLAN, epochs=1, batch_size=TRAIN)
    for optimizer in (Adam(), Shrinking()):
        subject = trainer(normalized(), plan=plan)
        subject.optimizer, first = optimizer, subject.params
        list(subject.epochs())
        features = subject.model.before.layers[0](first["before"][0], subject.data.train_inputs)
        np.testing.assert_allclose(subject.params["before"][1]["mean"], 0.1 * features.mean(0), rtol=1e-5)


def test_a_batch_norm_trains_better_with_its_statistics_than_at_their_start() -> None:
    """Tests see the running statistics of data far from 0, and the model knows the classes in spite of the shift."""
    data = clusters()
    far = replace(data, train_inputs=50 + 9 * data.train_inputs, test_inputs=50 + 9 * data.test_inputs)
    plan = Plan(epochs=25, batch_size=10)
    *_, last = trainer(normalized(), data=far, plan=plan, schedule=Constant(3e-2)).epochs()
    assert last["test_accuracy"] > 0.8


def test_an_interrupted_training_goes_on_with_its_statistics() -> None:
    """They are in the snapshot: two epochs are two epochs with a stop between."""
    whole, first, second = (trainer(normalized(), plan=PLAN) for _ in range(3))
    list(whole.epochs())
    next(first.epochs())
    second.restore(first.state())
    list(second.epochs())
    for name, leaf in whole.params["before"][1].items():
        np.testing.assert_array_equal(second.params["before"][1][name], leaf)


@dataclass
class Own:
    """A model of one's own around another."""

    model: Any

    def init(self, rng: np.random.Generator) -> Any:
        """Draw the parameters."""
        return self.model.init(rng)

    def __call__(self, params: Any, x: Any) -> Any:
        """Return the prediction and the record."""
        return self.model(params, x)


def in_the_cell() -> Any:
    """Return the small network with a BatchNorm in its cell."""
    model = network()
    cell = InjectedCell(Dense(STATE, STATE), Chain(Dense(STATE, STATE), BatchNorm(STATE)), Chain(ops.tanh))
    return replace(model, deq=replace(model.deq, cell=cell))


class Found:
    """A layer that makes the one that it applies when it needs it."""

    @property
    def norm(self) -> BatchNorm:
        """Return the layer."""
        return BatchNorm(STATE)

    def init(self, rng: np.random.Generator) -> Any:
        """Draw its parameters."""
        return self.norm.init(rng)

    def __call__(self, params: Any, x: Any) -> Any:
        """Apply it."""
        return self.norm(params, x)


def hidden() -> Any:
    """Return the small network with a BatchNorm that no attribute holds."""
    return replace(network(), before=Chain(Dense(FEATURES, STATE), Found()))


@pytest.mark.parametrize("allow_unused", [False, True])
@pytest.mark.parametrize(
    ("model", "settings", "batch_size", "message"),
    [
        (in_the_cell(), {}, 10, "a BatchNorm in an equilibrium .*: put it before or after, or take a GroupNorm"),
        (Own(normalized()), {}, 10, r"Own holds a BatchNorm, .*: give the model a method observe\(params, x\)"),
        (hidden(), {}, 10, r"BatchNorm\(channels=6, .*\) is called by its running statistics, .*: hold it where it is"),
        (normalized(), {"shares": 2}, 10, "each of 2 shares sees a part: train in one process without shares"),
        (normalized(), {}, 7, "the last of 1 sample: .* no variance: give more"),
    ],
)
def test_statistics_that_nobody_moves_are_refused(
    model: Any, settings: Any, batch_size: int, message: str, *, allow_unused: bool
) -> None:
    """Before the first update a sentence says what to do, whether or not unused parameters are allowed."""
    subject = trainer(model, plan=Plan(epochs=1, batch_size=batch_size, allow_unused=allow_unused), **settings)
    with pytest.raises(UserError, match=message):
        next(subject.epochs())
    assert subject.step == 0
