"""The training loop: pretraining at a fixed depth, then training through the equilibrium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from equilib.arrays import Array, array_namespace, from_host
from equilib.autodiff import stop_gradient, value_and_grad
from equilib.devices import CPU, Device
from equilib.errors import RunError
from equilib.models.equilibrium import Equilibrium
from equilib.training.batches import batch_count, shuffled_batches
from equilib.training.objectives import Objective
from equilib.training.optimizers import Adam, global_norm
from equilib.training.reporting import Reporter
from equilib.training.schedules import Schedule
from equilib.training.statistics import PassStatistics, describe_statuses
from equilib.trees import Tree


class Model(Protocol):
    """**Protocol:** a network that returns its prediction and the record of its equilibrium."""

    def unrolled(self, depth: int) -> Model:
        """Return the same network with a fixed depth."""

    def __call__(self, params: Tree, x: Array) -> tuple[Array, Equilibrium]:
        """Return the prediction and the record."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Inputs and targets on the device, for training and for testing; axis 0 counts samples."""

    train_inputs: Array
    train_targets: Array
    test_inputs: Array
    test_targets: Array


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long to train.

    Attributes
    ----------
    pretrain_epochs, pretrain_depth : int
        Epochs at a fixed depth before the equilibrium is solved for.
    epochs : int
    batch_size, test_batch_size : int

    Raises
    ------
    ValueError
        If a number is negative, or a size or the depth of a pretraining is not positive.
    """

    pretrain_epochs: int
    pretrain_depth: int
    epochs: int
    batch_size: int
    test_batch_size: int = 100

    def __post_init__(self) -> None:
        for name in ("pretrain_epochs", "epochs"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        # The unrolled model of depth 0 would be the equilibrium.
        for name in ("pretrain_depth", "batch_size", "test_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    def steps(self, samples: int) -> int:
        """Return the number of updates for a training set of that size."""
        return (self.pretrain_epochs + self.epochs) * batch_count(samples, self.batch_size)


@dataclass(kw_only=True)
class Trainer:
    """Trains a model epoch by epoch.

    `params` always holds the parameters after the last update, so that an interruption loses nothing.
    """

    model: Model
    params: Tree
    data: Dataset
    objective: Objective
    optimizer: Adam
    schedule: Schedule
    plan: Plan
    rng: np.random.Generator
    reporter: Reporter
    device: Device = CPU
    transform: Callable[[Array, np.random.Generator], Array] | None = None
    step: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._state = self.optimizer.init(self.params)

    def epochs(self) -> Iterator[dict[str, Any]]:
        """Train, and yield the metrics of each epoch when it has ended.

        Raises
        ------
        RunError
            If the loss or its gradient is not finite; the parameters are then those before.
        """
        plan = self.plan
        for epoch in range(1, plan.pretrain_epochs + 1):
            title = f"Pretraining: [{epoch}/{plan.pretrain_epochs}]"
            yield self._epoch("pretrain", epoch, title, self.model.unrolled(plan.pretrain_depth))
        for epoch in range(1, plan.epochs + 1):
            yield self._epoch("train", epoch, f"Epoch: [{epoch}/{plan.epochs}]", self.model)

    def _epoch(self, phase: str, epoch: int, title: str, model: Model) -> dict[str, Any]:
        start = perf_counter()
        trained = self._train_pass(model, title)
        self.device.synchronize()
        middle = perf_counter()
        tested = self.evaluate(model)
        metrics = {
            "phase": phase,
            "epoch": epoch,
            "step": self.step,
            "loss": trained.loss,
            f"train_{self.objective.score_name}": trained.score,
            f"test_{self.objective.score_name}": tested.score,
            "seconds": middle - start,
            "test_seconds": perf_counter() - middle,
            "learning_rate": self.schedule(self.step - 1),
            **trained.describe(),
            "test": tested.describe(),
        }
        self.reporter.line(f"{title} {epoch_summary(metrics, self.objective.score_name)}")
        return metrics

    def _train_pass(self, model: Model, title: str) -> PassStatistics:
        def loss(params: Tree, x: Array, y: Array) -> tuple[Array, Any]:
            prediction, equilibrium = model(params, x)
            return self.objective.loss(prediction, equilibrium, y), (stop_gradient(prediction), equilibrium)

        gradient_of = value_and_grad(loss, has_aux=True)
        statistics = PassStatistics()
        inputs, targets = self.data.train_inputs, self.data.train_targets
        batches = batch_count(inputs.shape[0], self.plan.batch_size)
        for index, rows in enumerate(shuffled_batches(inputs.shape[0], self.plan.batch_size, self.rng), start=1):
            x, y = _take(inputs, rows), _take(targets, rows)
            if self.transform is not None:
                x = self.transform(x, self.rng)
            with np.errstate(all="ignore"):  # what is not finite is refused before the update
                (value, (prediction, equilibrium)), gradient = gradient_of(self.params, x, y)
            number = float(value)
            _refuse_nonfinite(number, gradient, equilibrium, f"{title} Batch: [{index}/{batches}]")
            self.params, self._state = self.optimizer.update(
                self.params, gradient, self._state, self.schedule(self.step)
            )
            self.step += 1
            statistics.add(equilibrium, self.objective.score(prediction, y), number)
            self.reporter.batch(title, index, batches, number)
        return statistics

    def evaluate(self, model: Model | None = None) -> PassStatistics:
        """Pass the test data through the model."""
        model = model or self.model
        statistics = PassStatistics()
        inputs, targets = self.data.test_inputs, self.data.test_targets
        size = self.plan.test_batch_size
        for start in range(0, inputs.shape[0], size):
            x, y = inputs[start : start + size, ...], targets[start : start + size]
            with np.errstate(all="ignore"):  # the statuses say what is not finite
                prediction, equilibrium = model(self.params, x)
            statistics.add(equilibrium, self.objective.score(prediction, y))
        return statistics


def _refuse_nonfinite(loss: float, gradient: Tree, equilibrium: Equilibrium, place: str) -> None:
    remedy = "lower the learning rate, or try another seed or solver"
    if not np.isfinite(loss):
        solves = describe_statuses(equilibrium.status)
        raise RunError(f"the loss became {loss} at {place} (samples: {solves}); {remedy}")
    norm = global_norm(gradient)
    if not np.isfinite(norm):
        solves = describe_statuses(status for adjoint in equilibrium.adjoints for status in adjoint.status)
        evidence = f"adjoint: {solves}" if solves else "no adjoint equation was solved"
        raise RunError(f"the gradient's norm became {norm} at {place} ({evidence}); {remedy}")


def epoch_summary(metrics: dict[str, Any], score: str) -> str:
    """Return one line about an epoch."""
    work = f"nfe {metrics['forward_nfe']:.1f}"
    if metrics["forward_njvp"]:
        work += f" + {metrics['forward_njvp']:.1f} jvp"
    if metrics["adjoint_nfe"]:
        work += f", adjoint {metrics['adjoint_nfe']:.1f} vjp"
    return (
        f"Loss: {metrics['loss']:.5f} {score.capitalize()}: {100 * metrics[f'test_{score}']:.3f}% "
        f"(training {100 * metrics[f'train_{score}']:.3f}%) {metrics['seconds']:.1f} s, {work}, "
        f"residual {metrics['residual']:.1e}{_failures(metrics)}"
    )


def _failures(metrics: dict[str, Any]) -> str:
    if metrics["phase"] == "pretrain":  # a fixed depth promises no convergence
        return ""
    text = f", unconverged {_share(metrics['unconverged'], metrics['status'])}"
    if metrics["adjoint_unconverged"]:
        text += f", adjoint unconverged {_share(metrics['adjoint_unconverged'], metrics['adjoint_status'])}"
    if metrics["test"]["unconverged"]:
        text += f", test unconverged {_share(metrics['test']['unconverged'], metrics['test']['status'])}"
    return text


def _share(share: float, counts: dict[str, int]) -> str:
    causes = ", ".join(f"{count} {name}" for name, count in counts.items() if name != "converged")
    return f"{100 * share:.1f}%" + (f" ({causes})" if causes else "")


def _take(array: Array, rows: np.ndarray) -> Array:
    return array_namespace(array).take(array, from_host(rows, array), axis=0)
