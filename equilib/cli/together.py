"""Ranks of a command: the processes that mpiexec started join where it trains; else the first acts alone."""

from __future__ import annotations

import sys

import click

from equilib.cli.session import Session
from equilib.errors import UserError
from equilib.machine.environment import package_versions
from equilib.machine.ranks.group import Ranks, current_ranks, use_ranks
from equilib.machine.ranks.launched import launched
from equilib.options import build
from equilib.plugin import CommunicatorEntry
from equilib.runs.agreement import check_agreement

TRAINING = ("run", "resume", "evaluate")
"""The commands whose work ranks share."""

COMMUNICATOR = "mpi"


def join(session: Session, command: str | None) -> None:
    """Make this process a rank where a launcher started several, for a command that ranks share; else end all but one.

    Raises UserError if the command starts processes itself, MPI is missing, or the ranks do not do the same.
    """
    started = launched()
    if started is None:
        return
    if command == "compare":
        raise UserError("compare starts processes of its own: leave out mpiexec, and say --jobs N")
    if command not in TRAINING or {"--help", "-h"} & set(session.argv):
        if started.rank:
            raise click.exceptions.Exit
        return
    blueprint = session.plugins.get(CommunicatorEntry, COMMUNICATOR).blueprint()
    connector = build(blueprint, {}, owner=f"communicator {COMMUNICATOR!r}", parts=session.plugins)
    ranks = Ranks(connector.connect())
    use_ranks(ranks)  # which end together where they cannot be watched
    ranks.watch()
    check_agreement(ranks, {"the command": " ".join(session.argv), "Python": sys.version, **package_versions()})


def is_silent() -> bool:
    """Tell whether another process says what fails here: it has not joined, and is not the first."""
    started = launched()
    return started is not None and started.rank > 0 and current_ranks().size == 1
