"""`equilib resume RUN`: the rest of a run that ended early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from equilib.cli.flags import AtLeast, Place, data_dir, device, kernels, log_flags, log_of, run_argument
from equilib.cli.session import Session


@click.command()
@run_argument
@click.option(
    "--from",
    "checkpoint",
    type=Place(),
    metavar="FILE",
    help="Go on from this checkpoint; by default from the last.",
)
@click.option(
    "--epochs",
    type=AtLeast(min=0),
    help="Train for so many epochs after pretraining, those done included; by default as planned.",
)
@data_dir
@device
@kernels
@click.pass_obj
def resume(session: Session, /, run: Path, **given: Any) -> None:
    """Go on with the run in the folder RUN, from its last checkpoint."""
    # Deferred: the training loop loads autograd and SciPy, which help does without.
    from equilib.commands.resume import resume as go_on

    go_on(run, session.registry, argv=session.argv, log=log_of(given), **given)


resume.params.extend(log_flags())
