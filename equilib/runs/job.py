"""What an experiment trains, and the one way in which it is trained and recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from equilib.machine.environment import arithmetic
from equilib.runs.checkpoints import Checkpoints
from equilib.runs.context import RunContext
from equilib.runs.digest import data_digest
from equilib.runs.folder import EVENTS, RunDirectory
from equilib.runs.recorder import Recorder
from equilib.runs.tensorboard import TensorBoardLog, require_tensorboard
from equilib.training.tolerances import check_loosening, introduce
from equilib.training.trainer import Trainer
from equilib.training.warm_starts import WarmStarts


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
    samples : str
        What the samples are, in the plural.
    conclude : callable, optional
        Measures the trained model once more: a name and a number for each thing worth knowing at the end.
    """

    trainer: Trainer
    options: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)
    introduction: tuple[str, ...] = ()
    samples: str = "images"
    conclude: Callable[[Trainer], Mapping[str, float]] | None = None


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
    """Train, record every epoch, write checkpoints and the model whatever way the run ends; return the final metrics.

    A run that is resumed goes on from its checkpoint.

    Raises
    ------
    UserError
        If the checkpoint does not fit the job, or the model has no use for a saving that was asked for.
    RunError
        If training failed on its way.
    """
    trainer, request, resumption = job.trainer, context.request, context.resumption
    savings = _save_work(trainer, context)
    digest = data_digest(trainer.data)
    if resumption is not None:
        resumption.restore(trainer, digest)
    if request.tensorboard:
        require_tensorboard()
    with context.record(job.options, data_digest=digest, **job.facts) as directory:
        for line in (*job.introduction, arithmetic(), *savings):
            context.reporter.line(line)
        for line in resumption.introduce(context.device.description) if resumption else ():
            context.reporter.line(line)
        metrics = Recorder(trainer, directory, _checkpoints(directory, context), _events(directory, context)).run()
        concluded = dict(job.conclude(trainer)) if job.conclude else {}
        directory.finish("finished", metrics | concluded, best=trainer.best)
        result = _result(job, metrics)
        context.reporter.event("result", result, metrics | concluded)
        for name, value in concluded.items():
            context.reporter.line(f"{name}: {value:.6g}")
        context.reporter.event(
            "finished", f"Run recorded in {directory.path}", {"path": str(directory.path), "result": result}
        )
        return metrics | concluded


def _save_work(trainer: Trainer, context: RunContext) -> list[str]:
    """Set up what makes training cheaper, and return lines about it."""
    request = context.request
    warm_starts = WarmStarts(request.warm_start, trainer.data.train_inputs.shape[0])
    warm_starts.check(trainer.model, trainer.transform)
    check_loosening(request.loosen, trainer.model)
    trainer.warm_starts, trainer.loosen = warm_starts, request.loosen
    described = warm_starts.describe(trainer.model, trainer.params, trainer.data.train_inputs)
    return [*described, *introduce(request.loosen)]


def _checkpoints(directory: RunDirectory, context: RunContext) -> Checkpoints:
    request, resumption = context.request, context.resumption
    names = ("request", "options", "method", "data_digest", "versions")
    return Checkpoints(
        directory.path,
        {"run": directory.facts["id"], **{name: directory.facts[name] for name in names}},
        every=request.checkpoint_every,
        minutes=request.checkpoint_minutes,
        after=None if resumption is None else resumption.checkpoint.path,
    )


def _events(directory: RunDirectory, context: RunContext) -> TensorBoardLog | None:
    if not context.request.tensorboard:
        return None
    after = None if context.resumption is None else context.resumption.checkpoint.header["progress"]["step"]
    return TensorBoardLog(directory.path / EVENTS, after=after)


def _result(job: TrainingJob, metrics: Mapping[str, Any]) -> str:
    objective, size = job.trainer.objective, job.trainer.data.test_inputs.shape[0]
    name = objective.score_name
    return f"Test {name.replace('_', ' ')}: {objective.show(metrics[f'test_{name}'])} of {size:,} {job.samples}"
