"""The command run: an experiment is trained and recorded."""

from __future__ import annotations

from typing import Any

from equilib.experiments.experiment import make_experiment
from equilib.experiments.recorded_training import train
from equilib.machine.process import prepare_process
from equilib.machine.ranks.group import current_ranks
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.folder import check_out, default_out
from equilib.runs.notices import warnings_said
from equilib.runs.reporters import open_reporter
from equilib.runs.request import RunRequest


def launch(request: RunRequest, registry: Registry) -> None:
    """Run an experiment.

    Raises UserError if the request cannot be carried out as it is; nothing has been written then;
    RunError if the run failed on its way.
    """
    make_experiment(request, registry)  # where there is none of that name, nothing else is of interest
    current_ranks().from_first(lambda: _check_place(request))
    carry_out(request, registry, **({} if request.out is None else {"out": request.out}))


def _check_place(request: RunRequest) -> None:
    out = default_out(request.experiment) if request.out is None else request.out
    check_out(out, overwrite=request.overwrite)


def carry_out(request: RunRequest, registry: Registry, **where: Any) -> None:
    """Train in this process; `where` is more of the `RunContext`."""
    prepare_process()
    with open_reporter(request.log) as reporter, warnings_said(lambda text: reporter.line(f"Warning: {text}")):
        train(RunContext(request=request, registry=registry, reporter=reporter, **where))
