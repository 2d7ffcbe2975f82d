"""`equilib run EXPERIMENT`: the options that each experiment declares, and those that every run has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from equilib.cli.experiment_command import ExperimentGroup
from equilib.cli.flags import log_flags, log_of
from equilib.runs.request import RunRequest


def _launch(context: click.Context, request: RunRequest, **given: Any) -> None:
    # Deferred: the training loop loads autograd and SciPy, which lists and help do without.
    from equilib.commands.run import launch

    launch(replace(request, log=log_of(given)), context.obj.registry)


run = ExperimentGroup(_launch, name="run", help="Run an experiment.", after=log_flags())
