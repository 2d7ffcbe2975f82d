"""Recorder of a trainer at work: metrics of each epoch, checkpoints, and the model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from equilib.machine.signals import exposed, shielded
from equilib.runs.checkpoint_file import KNOWN
from equilib.runs.checkpoints import FOLDER, Checkpoints
from equilib.runs.context import RunContext
from equilib.runs.files import typed
from equilib.runs.folder import EVENTS, RunDirectory, run_errors
from equilib.runs.tensorboard import TensorBoardLog
from equilib.training.trainer import Trainer


class Recorder:
    """Records each epoch, and writes checkpoints when they are due and at the end."""

    def __init__(self, trainer: Trainer, directory: RunDirectory, context: RunContext) -> None:
        self._trainer, self._directory = trainer, directory
        request, before = context.request, context.continuation
        self._checkpoints = Checkpoints(
            directory.path,
            {
                "run": directory.facts["id"],
                "record_format": directory.facts["format"],  # a checkpoint has a format of its own
                **{name: directory.facts[name] for name in KNOWN if directory.facts.get(name) is not None},
            },
            every=request.checkpoint_every,
            minutes=request.checkpoint_minutes,
            after=None if before is None else before.checkpoint.path,
        )
        self._events = None
        if request.tensorboard:
            after = None if before is None else before.checkpoint.header["progress"]["step"]
            self._events = TensorBoardLog(directory.path / EVENTS, after=after)

    def run(self) -> dict[str, Any]:
        """Train to the end of the plan, and return the metrics of the last epoch, or those of a test without any.

        Whatever way it ends, there is a checkpoint of the last batch, and its parameters in `model.npz`.

        Raises RunError if training fails, or a file cannot be written.
        """
        trainer = self._trainer
        trainer.ranks.resume = self._resume
        trainer.after_batch = lambda: self._save_if_due(epoch_ended=False)
        try:
            with exposed():
                for metrics in trainer.epochs():
                    self._add(metrics)
                return dict(trainer.metrics) or untrained(trainer)
        except KeyboardInterrupt:
            with suppress(OSError):  # a pipe that nobody reads
                trainer.reporter.line(f"To go on: {self._resume}")
            raise
        finally:
            trainer.after_batch = None
            if self._events is not None:
                self._events.close()
            self._save()

    @property
    def _resume(self) -> str:
        return typed("resume", self._directory.path)

    def _next_step(self) -> str:
        """Return what is left to do where no checkpoint can be written."""
        if self._checkpoints.has_any or not self._trainer.epochs_done:
            return "equilib resume goes on"
        return "train anew with --overwrite: the run has no checkpoint yet to go on from"

    def _add(self, metrics: Mapping[str, Any]) -> None:
        with shielded():
            self._directory.add_metrics(metrics)
            if self._events is not None:
                self._events.add(metrics)
            self._save_if_due(epoch_ended=True)

    def _save_if_due(self, *, epoch_ended: bool) -> None:
        if self._checkpoints.is_due(epoch_ended=epoch_ended):
            self._save()

    def _save(self) -> None:
        snapshot = self._trainer.state()
        self._trainer.ranks.doing = f"writing to {self._directory.path}"
        with shielded():
            self._directory.require_own()
            with run_errors(self._directory.path / FOLDER, then=self._next_step()):
                self._checkpoints.write(snapshot)
            self._directory.save_model(snapshot.params)


def untrained(trainer: Trainer) -> dict[str, Any]:
    """Return the metrics of a run without epochs: those of a test."""
    tested = trainer.evaluate()
    return {f"test_{trainer.objective.score_name}": tested.score, "test": tested.describe()}
