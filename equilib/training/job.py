"""What an experiment trains, and the one way in which it is trained and recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from equilib.training.context import RunContext
from equilib.training.loop import Trainer
from equilib.training.run_directory import RunDirectory


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """A trainer, and what its run should say and record about it.

    Attributes
    ----------
    trainer : Trainer
    options : mapping
        The experiment's options, with their defaults resolved.
    facts : mapping
        What else `run.json` should hold, such as the source of the data.
    introduction : tuple of str
        Lines about data and model, printed first.
    """

    trainer: Trainer
    options: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)
    introduction: tuple[str, ...] = ()


@runtime_checkable
class Trains(Protocol):
    """**Protocol:** an experiment whose run is the training of one model.

    `job` must depend on the context's request only, seed included: a run is continued, evaluated and looked at by
    making its job again and putting the recorded parameters in.
    """

    def job(self, context: RunContext) -> TrainingJob:
        """Load the data and build the model with its initial parameters; nothing is written.

        Raises
        ------
        UserError
            If an option or the data is wrong.
        """


def train(job: TrainingJob, context: RunContext) -> Mapping[str, Any]:
    """Train, record every epoch, save the model whatever way the run ends, and return the final metrics.

    Raises
    ------
    RunError
        If training failed on its way.
    """
    trainer = job.trainer
    with context.record(job.options, **job.facts) as directory:
        for line in job.introduction:
            context.reporter.line(line)
        metrics = _epochs(trainer, directory)
        directory.finish("finished", metrics)
        context.reporter.line(_result(trainer, metrics))
        context.reporter.line(f"Run recorded in {directory.path}")
        return metrics


def _epochs(trainer: Trainer, directory: RunDirectory) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    try:
        for metrics in trainer.epochs():
            directory.add_metrics(metrics)
        return metrics or _untrained(trainer)
    finally:
        directory.save_model(trainer.params)


def _untrained(trainer: Trainer) -> dict[str, Any]:
    tested = trainer.evaluate()
    return {f"test_{trainer.objective.score_name}": tested.score, "test": tested.describe()}


def _result(trainer: Trainer, metrics: Mapping[str, Any]) -> str:
    name, size = trainer.objective.score_name, trainer.data.test_inputs.shape[0]
    return f"Test {name}: {100 * metrics[f'test_{name}']:.3f}% of {size:,} images"
