"""`equilib evaluate RUN`: the model of a run on its test data, or on other data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equilib.cli.listing import as_json
from equilib.cli.session import Session
from equilib.cli.table import table, terminal_width

if TYPE_CHECKING:
    from equilib.commands.evaluate import Evaluation

_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


@click.command()
@click.argument("run", metavar="RUN", type=_FOLDER)
@click.option(
    "--data-dir", type=_FOLDER, metavar="DIR", help="Look for data in this folder; by default where the run found it."
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="INT", help="Test on the first so many samples; by default on all."
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="Compute on the CPU or on a GPU; by default on what the run used.",
)
@as_json
@click.pass_context
def evaluate(context: click.Context, /, run: Path, *, as_json: bool, **given: Any) -> None:
    """Test the model of the run in the folder RUN."""
    # Deferred: the model loads autograd and SciPy, which help does without.
    from equilib.commands.evaluate import evaluate as measure
    from equilib.runs.files import json_values
    from equilib.runs.reporting import open_reporter

    session: Session = context.obj
    with open_reporter(stream=sys.stderr) as reporter:
        found = measure(run, session.registry(), reporter=reporter, **given)
    if as_json:
        click.echo(json.dumps(json_values(found.describe()), indent=2, allow_nan=False))
    else:
        click.echo(_text(found))


def _text(found: Evaluation) -> str:
    from equilib.training.metric import EVALUATE
    from equilib.training.metrics import METRICS

    numbers = [(row, found.statistics[row.name]) for row in METRICS if EVALUATE in row.places]
    rows = [
        (found.score_name.replace("_", " "), found.shown),
        ("samples", f"{found.samples:,}"),
        *((row.label, "-" if value is None else row.show(value)) for row, value in numbers),
        *((name, f"{value:.6g}") for name, value in found.concluded.items()),
        ("data", found.data or "-"),
        ("recorded", _recorded(found)),
    ]
    return table(("MEASURE", "VALUE"), rows, width=terminal_width())


def _recorded(found: Evaluation) -> str:
    if found.recorded is None:
        return "the run has no result"
    if not found.is_repetition:
        return f"{found.recorded:.6g}, on the run's own test data"
    return f"{found.recorded:.6g}, " + ("the same" if found.recorded == found.score else f"here {found.score:.6g}")
