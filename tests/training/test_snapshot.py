"""A trainer that goes on from a snapshot is the trainer that never stopped."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from equilib import ops
from equilib.adjoints.equilibrium import Equilibrium
from equilib.arrays import Array
from equilib.arrays.trees import tree_leaves, tree_map
from equilib.fixed_points.solution import Status
from equilib.ode.solution import OdeStatus
from equilib.training.objectives import Classification
from equilib.training.plan import Plan
from equilib.training.schedules import Constant, OneCycle
from equilib.training.snapshot import Snapshot, from_plain, to_plain
from equilib.training.statistics import PassStatistics
from equilib.training.trainer import Trainer
from tests.training.small import network, trainer


@dataclass(frozen=True)
class Noisy:
    """The small network with noise on its prediction in training."""

    inner: Any
    needs_rng: ClassVar[bool] = True

    def init(self, rng: np.random.Generator) -> Any:
        """Draw the network's parameters."""
        return self.inner.init(rng)

    def unrolled(self, depth: int) -> Noisy:
        """Return it with a fixed depth."""
        return replace(self, inner=self.inner.unrolled(depth))

    def loosened(self, factor: float) -> Noisy:
        """Return it with other tolerances."""
        return replace(self, inner=self.inner.loosened(factor))

    def warm_starts(self) -> tuple[str, ...]:
        """Return nothing: noise makes every call another."""
        return ()

    def __call__(self, params: Any, x: Array, *, rng: np.random.Generator | None = None) -> tuple[Array, Equilibrium]:
        """Return the prediction, with noise where there are random numbers."""
        prediction, record = self.inner(params, x)
        if rng is not None:
            prediction = ops.add(prediction, 0.1 * rng.standard_normal(prediction.shape).astype(np.float32))
        return prediction, record


def jitter(x: Array, rng: np.random.Generator) -> Array:
    """Return inputs with a little noise."""
    return x + 0.1 * rng.standard_normal(x.shape).astype(np.float32)


def subject() -> Trainer:
    """Return a trainer in which everything that can be random is, and whose rate changes with every step."""
    return trainer(Noisy(network()), schedule=OneCycle(1e-2, 21), transform=jitter)


def stored(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot whose progress went through JSON and whose arrays are copies."""
    trees = (snapshot.params, snapshot.optimizer)
    params, optimizer = (tree_map(lambda leaf: leaf if isinstance(leaf, int) else leaf.copy(), tree) for tree in trees)
    progress = json.loads(json.dumps(snapshot.progress))
    return Snapshot(params=params, optimizer=optimizer, order=snapshot.order.copy(), progress=progress)


def without_times(metrics: dict[str, Any]) -> dict[str, Any]:
    """Drop what no seed decides."""
    return {name: value for name, value in metrics.items() if not name.endswith("seconds")}


def test_training_goes_on_bit_by_bit_from_every_batch() -> None:
    """From each batch and each epoch: the metrics of the rest and the final parameters are those without a stop."""
    whole, states = subject(), []
    whole.after_batch = lambda: states.append((whole.epochs_done, whole.state()))
    metrics = []
    states.append((0, whole.state()))
    for epoch in whole.epochs():
        metrics.append(without_times(epoch))
        states.append((whole.epochs_done, whole.state()))
    assert len(states) == 1 + 21 + 3
    for done, snapshot in states[::3]:  # batches of every epoch, and the end
        resumed = subject()
        resumed.rng.random(5)  # its own past does not matter
        resumed.restore(stored(snapshot))
        assert [without_times(epoch) for epoch in resumed.epochs()] == metrics[done:]
        for left, right in zip(tree_leaves(whole.params), tree_leaves(resumed.params), strict=True):
            np.testing.assert_array_equal(left, right, strict=True)
        assert (resumed.best, resumed.step) == (whole.best, 21)
        assert without_times(resumed.metrics) == metrics[-1]
        assert resumed.rng.bit_generator.state == whole.rng.bit_generator.state


def test_a_snapshot_does_not_change_with_training() -> None:
    """What was taken after the first batch is the same at the end."""
    whole, states = subject(), []
    whole.after_batch = lambda: states.append(whole.state())
    generator = whole.epochs()
    next(generator)
    before = stored(states[0])
    list(generator)
    assert states[0].progress == before.progress
    for left, right in zip(tree_leaves(states[0].params), tree_leaves(before.params), strict=True):
        np.testing.assert_array_equal(left, right)


def test_noise_is_for_training_only() -> None:
    """A model that asks for random numbers gets none in a test: the same parameters give the same score and loss."""
    tested = subject()
    before = tested.rng.bit_generator.state
    assert tested.evaluate().score == tested.evaluate().score
    assert tested.rng.bit_generator.state == before


def test_other_data_is_refused() -> None:
    """An order of more samples than there are is not followed."""
    whole, states = subject(), []
    whole.after_batch = lambda: states.append(whole.state())
    next(whole.epochs())
    other = subject()
    fewer = {name: getattr(other.data, name)[:40] for name in ("train_inputs", "train_targets")}
    other.data = replace(other.data, **fewer)
    with pytest.raises(ValueError, match="it orders 50 training samples, and here are 40"):
        other.restore(states[2])


def test_the_best_epoch_is_remembered() -> None:
    """It is the first with the highest test score among those of training."""
    whole = subject()
    epochs = [epoch for epoch in whole.epochs() if epoch["phase"] == "train"]
    best = max(epochs, key=lambda epoch: epoch["test_accuracy"])
    assert whole.best == {"phase": "train", "epoch": best["epoch"], "test_accuracy": best["test_accuracy"]}


@dataclass(frozen=True)
class Misses(Classification):
    """A score that is the better the less it is."""

    higher_is_better: ClassVar[bool] = False


def test_the_best_may_be_the_lowest() -> None:
    """Where the objective says that a score is an error, the best epoch is that with the least."""
    plan = Plan(pretrain_epochs=0, pretrain_depth=1, epochs=4, batch_size=8)
    whole = trainer(objective=Misses(), plan=plan, schedule=Constant(2e-3))
    epochs = [epoch for epoch in whole.epochs() if epoch["phase"] == "train"]
    assert len({epoch["test_accuracy"] for epoch in epochs}) > 1
    assert whole.best is not None
    assert whole.best["test_accuracy"] == min(epoch["test_accuracy"] for epoch in epochs)


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, "x", True], "b": {"c": float("inf")}},
        np.float32(0.1),
        np.arange(3, dtype=np.uint64) + np.uint64(2**63),
        Counter({Status.CONVERGED: 3, OdeStatus.FINISHED: 2}),
        np.random.default_rng(3).bit_generator.state,
        np.random.Philox(3).state,
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_come_back_from_json(value: Any) -> None:
    """Numbers, arrays and counts are the same in value and type after a way through JSON."""
    back = from_plain(json.loads(json.dumps(to_plain(value))))
    assert type(back) is type(value)
    np.testing.assert_equal(back, value)


def test_what_json_cannot_hold_is_refused() -> None:
    """An object is an error when the checkpoint is written, not when it is read."""
    with pytest.raises(TypeError, match="a checkpoint cannot hold a object"):
        to_plain({"a": object()})


def test_a_metric_that_is_not_known_here_is_refused() -> None:
    """Statistics of a version with more metrics are not filled in halfway."""
    sums = PassStatistics().sums()
    with pytest.raises(ValueError, match="does not have: more"):
        PassStatistics.from_sums(sums | {"metrics": sums["metrics"] | {"more": 1}})


def test_a_metric_that_was_not_kept_is_unknown_for_its_epoch_only() -> None:
    """From the middle of an epoch without the norm of the gradient: that epoch has none, and all else as before."""
    whole, states = subject(), []
    whole.after_batch = lambda: states.append(whole.state())
    metrics = [without_times(epoch) for epoch in whole.epochs()]
    snapshot = stored(states[2])
    del snapshot.progress["sums"]["metrics"]["gradient_norm"]
    resumed = subject()
    resumed.restore(snapshot)
    first, *others = [without_times(epoch) for epoch in resumed.epochs()]
    assert first == metrics[0] | {"gradient_norm": None}
    assert others == metrics[1:]


def test_sums_of_the_first_version_are_read() -> None:
    """What a checkpoint kept before there was a table of metrics is what is kept now, under other names."""
    statistics = PassStatistics.from_sums(OLD_SUMS)
    found = {"loss": statistics["loss"], "score": statistics.score} | statistics.describe()
    assert {name: value for name, value in found.items() if value is not None} == {
        "loss": 0.25,
        "score": 0.5,
        "forward_nfe": 4.0,
        "forward_njvp": 5.0,
        "adjoint_nfe": 3.0,
        "residual": 0.125,
        "unconverged": 0.25,
        "status": {"converged": 3, "max_steps": 1},
        "adjoint_residual_max": 1e-3,
        "adjoint_unconverged": 0.0,
        "adjoint_status": {"converged": 4},
    }
    assert statistics["gradient_norm"] is None


OLD_SUMS: dict[str, Any] = {
    "_samples": 4,
    "_batches": 2,
    "_loss": 1.0,
    "_score": 2.0,
    "_residual": 0.5,
    "_nfe": 8,
    "_njvp": 10,
    "_adjoint_nfe": 6,
    "_forward": {"counter": [["Status", "CONVERGED", 3], ["Status", "MAX_STEPS", 1]]},
    "_adjoint": {"counter": [["Status", "CONVERGED", 4]]},
    "_adjoint_residual": 1e-3,
}
