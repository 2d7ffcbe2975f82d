"""Trainer of a model: pretraining at a fixed depth, then training through the equilibrium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from itertools import chain
from time import perf_counter
from typing import Any

import numpy as np

from equilib.adjoints.equilibrium import Record
from equilib.arrays import Array, Tree, take_rows, tree_map
from equilib.errors import UserError
from equilib.machine import signals
from equilib.machine.devices import CPU, Device
from equilib.machine.ranks.division import Division
from equilib.machine.ranks.group import ALONE, Ranks
from equilib.training.batch_loss import batch_loss
from equilib.training.batch_pass import pass_batch, recorded
from equilib.training.data import Dataset
from equilib.training.finite import blaming
from equilib.training.metric import Batch
from equilib.training.model import EquilibriumModel, Model
from equilib.training.objectives import Objective, is_better
from equilib.training.observed import require_observable, with_statistics
from equilib.training.optimizers import Adam, Optimizer, clipped
from equilib.training.parts import optimizer_of, resolve_parts
from equilib.training.plan import Plan, batches
from equilib.training.rehearsal import rehearse
from equilib.training.reporter import Reporter
from equilib.training.schedules import rate_at
from equilib.training.shares import Share
from equilib.training.snapshot import Snapshot, from_plain, to_plain
from equilib.training.statistics import Measured, PassStatistics, epoch_record, epoch_summary
from equilib.training.tolerances import loosened
from equilib.training.warm_starts import WarmStarts


@dataclass(kw_only=True)
class _Pass:
    """The pass over the training data that is at work: the order of its samples, and how far it is."""

    order: np.ndarray
    batches: int = 0
    seconds: float = 0.0
    statistics: PassStatistics = field(default_factory=PassStatistics)


@dataclass(kw_only=True)
class Trainer:
    """Trains a model epoch by epoch.

    `params` always holds the parameters after the last update, and `state()` all that there was after the last batch,
    so that an interruption loses nothing. A model with the attribute `needs_rng`, true, is called with `rng` in
    training, and without it in tests. A BatchNorm uses the batch in training, and in tests what batches have left.

    Attributes
    ----------
    optimizer, schedule : str or Optimizer, float or callable
        As "adamw:weight_decay=0.1" and 1e-3, or objects: those of `equilib.training.schedules` map a step to its rate.
    step, epochs_done : int
        Updates and epochs so far, those of pretraining included.
    metrics : dict
        What was measured in the last epoch; empty before its end.
    best : dict or None
        Phase, epoch and test score of the epoch of training whose test score was the best so far.
    after_batch : callable or None
        Called after each batch, when `state()` includes it.
    warm_starts : WarmStarts
        What is kept of each sample for the next epoch; by default nothing. Tests start cold.
    ranks : Ranks
        The processes that divide every batch among them; each of them has this trainer, in the same state.
    shares : int
        How many of every batch are computed one by one, which decides the rounding; 0: one for each rank.
    loosen : float
        How many times as large the tolerances of training are at first (see `loosened`); tests have those of the model.
    """

    model: Model
    params: Tree
    data: Dataset
    objective: Objective
    optimizer: str | Optimizer = field(default_factory=Adam)
    schedule: float | Callable[[int], float] = 1e-3
    plan: Plan = field(default_factory=Plan)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    reporter: Reporter = field(default_factory=Reporter)
    device: Device = CPU
    transform: Callable[[Array, np.random.Generator], Array] | None = None
    ranks: Ranks = ALONE
    shares: int = 0
    step: int = field(default=0, init=False)
    epochs_done: int = field(default=0, init=False)
    metrics: dict[str, Any] = field(default_factory=dict, init=False)
    best: dict[str, Any] | None = field(default=None, init=False)
    after_batch: Callable[[], None] | None = field(default=None, init=False)
    warm_starts: WarmStarts = field(default_factory=WarmStarts, init=False)
    loosen: float = field(default=1.0, init=False)

    def __post_init__(self) -> None:
        resolve_parts(self)
        self._state = optimizer_of(self.optimizer).init(self.params)
        self._pass: _Pass | None = None
        self._last: Snapshot | None = None
        self._rehearsed = False

    def rehearse(self) -> None:
        """Pass a sample of each part of the data through model and loss, once; nothing is changed.

        Raises UserError if the data or the transform does not fit them, or nobody can move a BatchNorm's statistics.
        """
        if not self._rehearsed:
            used = rehearse(self.model, self.params, self.data, self.objective, self.transform, self.rng)
            require_observable(self.model, self.params, self.data, self.plan, max(self.shares, self.ranks.size), used)
            self._rehearsed = True

    def epochs(self) -> Iterator[dict[str, Any]]:
        """Train what is left of the plan, and yield the metrics of each epoch when it has ended.

        Raises UserError as `rehearse` does;
        RunError if the loss or its gradient is not finite; the parameters are then those before;
        IndependentError if the loss does not depend on some parameter, unless the plan allows that.
        """
        plan = self.plan
        self.rehearse()
        while self.epochs_done < plan.pretrain_epochs + plan.epochs:
            if self.best and plan.gives_up(self.epochs_done, self.best["epoch"]):
                self.reporter.line(f"Stopped early: no better test score in {plan.patience} epochs")
                return
            epoch = self.epochs_done + 1
            if epoch <= plan.pretrain_epochs:
                yield self._epoch("pretrain", epoch, f"Pretraining: [{epoch}/{plan.pretrain_epochs}]", self._unrolled())
            else:
                epoch -= plan.pretrain_epochs
                yield self._epoch("train", epoch, f"Epoch: [{epoch}/{plan.epochs}]", self.model)

    def state(self) -> Snapshot:
        """Return all that is needed to go on from the last batch; it never changes afterwards."""
        if self._last is None:
            self._last = self._snapshot()
        return self._last

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from where `snapshot` was taken, of a trainer that was made alike.

        Raises ValueError if it is not the state of such a trainer.
        """
        progress, order = snapshot.progress, snapshot.order
        work = None
        if order.size:
            if order.shape != self.data.train_inputs.shape[:1]:
                samples = self.data.train_inputs.shape[0]
                raise ValueError(f"it orders {order.size:,} training samples, and here are {samples:,}")
            sums = PassStatistics.from_sums(progress["sums"])
            work = _Pass(order=order, batches=progress["batches"], seconds=progress["seconds"], statistics=sums)
        self.rng.bit_generator.state = from_plain(progress["rng"])
        self.params = self._put(snapshot.params)
        self._state = replace(self._state, **self._put(snapshot.optimizer))
        self.step, self.epochs_done = progress["step"], progress["epochs_done"]
        self.metrics, self.best = from_plain(progress["metrics"]), progress["best"]
        self.warm_starts.restore(snapshot.warm_starts, self._put)
        self._pass, self._last = work, snapshot

    def _put(self, tree: Tree) -> Tree:
        return tree_map(lambda leaf: self.device.put(leaf) if isinstance(leaf, np.ndarray) else leaf, tree)

    def _snapshot(self) -> Snapshot:
        work = self._pass
        return Snapshot(
            params=self.params,
            optimizer={each.name: getattr(self._state, each.name) for each in fields(self._state)},
            order=np.zeros(0, np.int64) if work is None else work.order,
            warm_starts=self.warm_starts.state(),
            progress={
                "step": self.step,
                "epochs_done": self.epochs_done,
                "rng": to_plain(self.rng.bit_generator.state),
                "metrics": to_plain(self.metrics),
                "best": self.best,
                "batches": 0 if work is None else work.batches,
                "seconds": 0.0 if work is None else work.seconds,
                "sums": None if work is None else work.statistics.sums(),
            },
        )

    def _unrolled(self) -> Model:
        if not isinstance(self.model, EquilibriumModel):
            raise UserError("the model has no fixed depth to be pretrained at; leave the pretraining out")
        return self.model.unrolled(self.plan.pretrain_depth)

    def _epoch(self, phase: str, epoch: int, title: str, model: Model) -> dict[str, Any]:
        loose = model if phase == "pretrain" else loosened(model, self.loosen, epoch, self.plan.epochs)
        work = self._train_pass(loose, title)
        start = perf_counter()
        tested = self.evaluate(model, title=f"{title} Test")
        name = self.objective.score_name
        metrics = {"phase": phase, "epoch": epoch} | epoch_record(
            work.statistics,
            tested,
            name,
            step=self.step,
            seconds=work.seconds,
            test_seconds=perf_counter() - start,
            learning_rate=rate_at(self.schedule, self.step - 1),
        )
        self.epochs_done += 1
        self.metrics, self._pass = metrics, None
        best, score = self.best, {f"test_{name}": tested.score}
        if phase == "train" and (best is None or is_better(self.objective, tested.score, best[f"test_{name}"])):
            self.best = {"phase": phase, "epoch": epoch, **score}
        self._last = self._snapshot()
        self.reporter.event("epoch", f"{title} {epoch_summary(metrics, self.objective)}", metrics)
        return metrics

    def _train_pass(self, model: Model, title: str) -> _Pass:
        places = batches(self.data.train_inputs.shape[0], self.plan.batch_size)
        loss_of = self._loss(model)
        work = self._pass = self._pass or _Pass(order=self.rng.permutation(self.data.train_inputs.shape[0]))
        start, count = perf_counter() - work.seconds, len(places)
        for place in places[work.batches :]:
            title_of_batch = self.ranks.doing = f"{title} Batch: [{work.batches + 1}/{count}]"
            loss = self._train_batch(loss_of, work.order[place], title_of_batch, work.statistics)
            work.batches += 1
            work.seconds = perf_counter() - start
            self._last = self._snapshot()
            self.reporter.batch(title, work.batches, count, loss)
            signals.check()
            if self.after_batch is not None:
                self.after_batch()
        self.device.synchronize()
        work.seconds = perf_counter() - start
        return work

    def _loss(self, model: Model) -> Callable[..., Any]:
        return batch_loss(model, self.objective, self.warm_starts)

    def _taken(self, share: Share) -> tuple[Array, Array]:
        x, y = take_rows(self.data.train_inputs, share.rows), take_rows(self.data.train_targets, share.rows)
        return x if self.transform is None else self.transform(x, share.rng), y

    def _train_batch(
        self, loss_of: Callable[..., Any], rows: np.ndarray, place: str, statistics: PassStatistics
    ) -> float:
        with blaming(self.data, rows):
            passed = pass_batch(
                loss_of,
                self.params,
                rows,
                self._taken,
                rng=self.rng,
                score=self.objective.score,
                division=self._division(rows.size),
                ranks=self.ranks,
                place=place,
                allow_unused=self.plan.allow_unused,
            )
        gradient = clipped(passed.gradient, passed.norm, self.plan.clip_gradient)
        rate = rate_at(self.schedule, self.step)
        updated, self._state = optimizer_of(self.optimizer).update(self.params, gradient, self._state, rate)
        self.params = with_statistics(updated, passed.observed, self.params)
        self.step += 1
        self.warm_starts.remember(*passed.own, count=rows.size, ranks=self.ranks)
        statistics.add(*passed.measured)
        return passed.loss

    def evaluate(
        self,
        model: Model | None = None,
        *,
        title: str = "Test",
        each: Callable[[Array, Record], None] = lambda prediction, record: None,
    ) -> PassStatistics:
        """Pass the test data, shape (samples, ...), through the model; `each` gets what it returns for each batch.

        Of several ranks each passes its shares of every batch, which alone its `each` gets.
        """
        statistics, model = PassStatistics(), model or self.model
        places = batches(self.data.test_inputs.shape[0], self.plan.test_batch_size)
        self.ranks.doing = title
        for index, place in enumerate(places, start=1):
            own = self._division(place.stop - place.start).rows_of(self.ranks.rank, place.start)
            measured = self.ranks.gather([self._tested(model, rows, each) for rows in own])
            statistics.add(*chain.from_iterable(measured))
            self.reporter.batch(title, index, len(places))
            signals.check()
        return statistics

    def _division(self, samples: int) -> Division:
        return Division(samples, self.shares or self.ranks.size, self.ranks.size)

    def _tested(self, model: Model, rows: slice, each: Callable[[Array, Record], None]) -> Measured:
        x, y = self.data.test_inputs[rows, ...], self.data.test_targets[rows]
        with recorded():
            prediction, record = model(self.params, x)
        each(prediction, record)
        return Measured.of(Batch(record=record, scores=self.objective.score(prediction, y)))
