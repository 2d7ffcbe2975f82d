"""A recorded run's experiment and model, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from equilib.errors import UserError
from equilib.machine.devices import find_device
from equilib.options import build
from equilib.plugin import ExperimentEntry
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.job import TrainingJob, Trains
from equilib.runs.record import RecordedRun
from equilib.runs.request import RunRequest
from equilib.training.reporter import Reporter


def make_experiment(request: RunRequest, registry: Registry) -> Any:
    """Return the experiment of a request, with its options.

    Raises
    ------
    UserError
        If it does not exist, or an option is wrong.
    """
    name = request.experiment
    return build(registry.get(ExperimentEntry, name).load(), request.values, owner=f"experiment {name!r}")


def revive(
    request: RunRequest, registry: Registry, *, reporter: Reporter, out: Path | None = None
) -> tuple[Any, RunContext]:
    """Return the experiment of a request and what it gets to run with.

    Raises
    ------
    UserError
        If the request cannot be carried out here.
    """
    experiment = make_experiment(request, registry)
    device = find_device(request.device)
    return experiment, RunContext(
        request=request, registry=registry, device=device, reporter=reporter, out=out or Path()
    )


def trained_job(run: RecordedRun, registry: Registry, *, reporter: Reporter, **changes: Any) -> TrainingJob:
    """Make the job of a recorded run again, with the parameters that it ended with.

    Parameters
    ----------
    run : RecordedRun
    registry : Registry
    reporter : Reporter
    **changes
        What the `RunRequest` should have instead of what is recorded: data_dir, device.

    Raises
    ------
    UserError
        If the run has no model, its experiment trains none, or its request cannot be carried out here.
    """
    request = run.request(**changes)
    experiment, context = revive(request, registry, reporter=reporter)
    if not isinstance(experiment, Trains):
        raise UserError(f"experiment {request.experiment!r} cannot be evaluated: it has no method `job`")
    job = experiment.job(context)
    job.trainer.params = context.device.put(run.params(job.trainer.params))
    return job
