"""`equilib report RUN...`: a page about runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from equilib.cli.flags import FOLDER, AtLeast, Place, data_dir, device, kernels
from equilib.cli.output import line
from equilib.cli.session import Session
from equilib.errors import harmless


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=FOLDER)
@click.option(
    "--out",
    type=Place(file_okay=False),
    metavar="DIR",
    help="Write to this folder; by default to RUN/report, for several runs to report.",
)
@data_dir
@click.option(
    "--limit",
    type=AtLeast(min=0),
    default=1000,
    show_default=True,
    help="Test the model on the first so many samples; 0: on none, from the records alone.",
)
@device
@kernels
@click.pass_obj
def report(session: Session, /, runs: tuple[Path, ...], **given: Any) -> None:
    """Write a page about the runs in the folders RUN, one file that needs no network, and PNG files.

    Several runs are laid over each other. What a run lacks is named on the page.
    """
    from equilib.report import require_libraries

    require_libraries()
    # Deferred: the model loads autograd and SciPy, which help does without.
    from equilib.report.write import write_report
    from equilib.runs.reporters import open_reporter

    with open_reporter(stream=sys.stderr) as reporter:
        written = write_report(runs, session.registry, reporter=reporter, **given)
    for sentence in written.missing:
        click.echo(line(f"Missing: {harmless(sentence)}"))
    click.echo(line(harmless(f"Report: {written.page} and {len(written.pictures)} PNG files")))
