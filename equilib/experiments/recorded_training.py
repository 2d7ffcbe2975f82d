"""Training with a record: its epochs, metrics, checkpoints, and the savings of work that were asked for."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from equilib.errors import some
from equilib.experiments.assembly import Training, assemble
from equilib.machine.environment import arithmetic
from equilib.machine.signals import exposed
from equilib.machine.tf32 import using_tf32
from equilib.runs.agreement import check_shares, check_work, introduce_ranks
from equilib.runs.context import RunContext
from equilib.runs.recorder import Recorder, untrained
from equilib.runs.tensorboard import require_tensorboard
from equilib.training.number_formats import share
from equilib.training.tolerances import check_loosening, introduce
from equilib.training.trainer import Trainer
from equilib.training.warm_starts import WarmStarts


def train(context: RunContext) -> Mapping[str, Any]:
    """Train what was asked for, recording epochs, checkpoints and, whatever way it ends, the model; return the metrics.

    A run that is continued goes on from its checkpoint. Of several ranks the first records.

    Raises UserError if the request cannot be carried out as it is, or the checkpoint does not fit;
    RunError if training failed on its way.
    """
    check_shares(context.request.shares, context.ranks)
    training = assemble(context)
    with using_tf32(context.device.kind) if context.request.tf32 else nullcontext():
        return _train(training, context)


def _train(training: Training, context: RunContext) -> Mapping[str, Any]:
    trainer, request, before = training.trainer, context.request, context.continuation
    trainer.rehearse()
    savings = _save_work(trainer, context)
    digest = training.host_data.digest()
    if before is not None:
        before = context.continuation = replace(before, packages=context.registry.used())
        before.restore(trainer, digest)
    if request.tensorboard:
        require_tensorboard(context.out)
    if context.ranks.size > 1:
        check_work(context.ranks, digest, {"flags": request.describe(), **training.facts})
    if context.ranks.rank:
        return _follow(training)
    with context.record(**training.facts, data_digest=digest) as directory:
        for line in (
            *training.introduction,
            arithmetic(context.device.kind, tf32=request.tf32),
            *introduce_ranks(context.ranks),
            *savings,
        ):
            context.reporter.line(line)
        for line in before.introduce(context.device.description, training.facts) if before else ():
            context.reporter.line(line)
        metrics = Recorder(trainer, directory, context).run()
        with exposed():
            concluded = training.conclude()
        directory.finish("finished", metrics | concluded, best=trainer.best)
        result = _result(training, metrics)
        context.reporter.event("result", result, metrics | concluded)
        for name, value in concluded.items():
            context.reporter.line(f"{name}: {value:.6g}")
        context.reporter.event(
            "finished", f"Run recorded in {directory.path}", {"path": str(directory.path), "result": result}
        )
        return metrics | concluded


def _follow(training: Training) -> Mapping[str, Any]:
    """Train beside rank 0, which alone records, and return the metrics."""
    trainer = training.trainer
    for _ in trainer.epochs():
        pass
    return (trainer.metrics or untrained(trainer)) | training.conclude()


def _save_work(trainer: Trainer, context: RunContext) -> list[str]:
    """Set up what makes training cheaper, and return lines about it."""
    request = context.request
    warm_starts = WarmStarts(request.warm_start, trainer.data.train_inputs.shape[0])
    warm_starts.check(trainer.model, trainer.transform)
    check_loosening(request.loosen, trainer.model)
    trainer.warm_starts, trainer.loosen = warm_starts, request.loosen
    described = warm_starts.describe(trainer.model, trainer.params, trainer.data.train_inputs)
    return [*described, *introduce(request.loosen)]


def _result(training: Training, metrics: Mapping[str, Any]) -> str:
    objective, size = training.recipe.objective, training.trainer.data.test_inputs.shape[0]
    name, samples = objective.score_name, training.recipe.samples
    # A fixed depth promises no convergence.
    lost = 0.0 if metrics.get("phase") == "pretrain" else (metrics.get("test") or {}).get("unconverged") or 0.0
    solved = f" ({share(lost)} unconverged)" if lost else ""
    return f"Test {name.replace('_', ' ')}: {objective.show(metrics[f'test_{name}'])} of {some(size, samples)}{solved}"
