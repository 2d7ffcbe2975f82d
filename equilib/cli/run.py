"""`equilib run EXPERIMENT`: the options that each experiment declares, and those that every run has."""

from __future__ import annotations

from typing import Any

import click

from equilib.cli.experiment_command import ExperimentGroup, experiment_command
from equilib.cli.flags import log_flags, log_of, run_flags
from equilib.cli.session import Session
from equilib.plugin import ExperimentEntry
from equilib.runs.request import RunRequest


def _command(entry: ExperimentEntry, session: Session) -> click.Command:
    def act(context: click.Context, values: dict[str, object], given: dict[str, Any]) -> None:
        # Deferred: the training loop loads autograd and SciPy, which lists and help do without.
        from equilib.commands.run import launch

        given["log"] = log_of(given)
        request = RunRequest(experiment=entry.name, values=values, argv=session.argv, **given)
        launch(request, session.registry())

    common = [*run_flags(entry, session.registry(), lambda flag: True), *log_flags()]
    return experiment_command(entry, common, act)


run = ExperimentGroup(name="run", help="Run an experiment.", make=_command)
