"""`equilib run EXPERIMENT`: the options that each experiment declares, and those that every run has."""

from __future__ import annotations

from typing import Any

import click

from equilib.cli.experiment_command import (
    ExperimentGroup,
    experiment_command,
    method_options,
    out_options,
    place_options,
    session_of,
)
from equilib.cli.run_options import checkpoint_options, log_of, log_options, saving_options
from equilib.cli.session import Session
from equilib.options import parse_assignments
from equilib.plugin import ExperimentEntry
from equilib.plugin.registry import Registry
from equilib.runs.request import RunRequest


def _run_command(entry: ExperimentEntry) -> click.Command:
    def act(context: click.Context, values: dict[str, object], given: dict[str, Any]) -> None:
        session = session_of(context)
        given["options"] = parse_assignments(given.pop("option"))
        given["log"] = log_of(given)
        start(session, RunRequest(experiment=entry.name, values=values, argv=session.argv, **given))

    method = [*method_options(), *saving_options()]
    common = [*method, *place_options(), *out_options(), *checkpoint_options(), *log_options()]
    return experiment_command(entry, common, act)


run = ExperimentGroup(name="run", help="Run an experiment.", make=_run_command)


def start(session: Session, request: RunRequest) -> None:
    """Carry out a run, by the training loop unless the session brings another way."""
    (session.start or _launch)(request, session.registry())


def _launch(request: RunRequest, registry: Registry) -> None:
    # Deferred: the training loop loads autograd and SciPy, which lists and help do without.
    from equilib.commands.run import launch

    launch(request, registry)
