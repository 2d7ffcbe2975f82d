"""`equilib run EXPERIMENT`: the options that each experiment declares, and those that every run has."""

from __future__ import annotations

from typing import Any

import click

from equilib.cli.experiment_command import ExperimentGroup, experiment_command
from equilib.cli.flags import log_flags, log_of, run_flags
from equilib.cli.session import Session
from equilib.plugin import ExperimentEntry
from equilib.plugin.registry import Registry
from equilib.runs.request import RunRequest


def _command(entry: ExperimentEntry, session: Session) -> click.Command:
    def act(context: click.Context, values: dict[str, object], given: dict[str, Any]) -> None:
        given["log"] = log_of(given)
        start(session, RunRequest(experiment=entry.name, values=values, argv=session.argv, **given))

    common = [*run_flags(entry, session.registry(), lambda flag: True), *log_flags()]
    return experiment_command(entry, common, act)


run = ExperimentGroup(name="run", help="Run an experiment.", make=_command)


def start(session: Session, request: RunRequest) -> None:
    """Carry out a run, by the training loop unless the session brings another way."""
    (session.start or _launch)(request, session.registry())


def _launch(request: RunRequest, registry: Registry) -> None:
    # Deferred: the training loop loads autograd and SciPy, which lists and help do without.
    from equilib.commands.run import launch

    launch(request, registry)
