"""`equilib evaluate RUN`: the model of a run on its test data, or on other data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equilib.cli.flags import AtLeast, data_dir, device, kernels, run_argument
from equilib.cli.output import as_json, print_json, print_table
from equilib.cli.session import Session
from equilib.machine.ranks.group import current_ranks

if TYPE_CHECKING:
    from equilib.commands.evaluate import Evaluation


@click.command()
@run_argument
@data_dir
@click.option("--limit", type=AtLeast(min=1), help="Test on the first so many samples; by default on all.")
@device
@kernels
@as_json
@click.pass_obj
def evaluate(session: Session, /, run: Path, *, as_json: bool, **given: Any) -> None:
    """Test the model of the run in the folder RUN."""
    # Deferred: the model loads autograd and SciPy, which help does without.
    from equilib.commands.evaluate import evaluate as measure
    from equilib.runs.reporters import open_reporter

    with open_reporter(stream=sys.stderr) as reporter:
        found = measure(run, session.registry, reporter=reporter, **given)
    if current_ranks().rank:
        return
    if as_json:
        print_json(found.describe())
    else:
        print_table(("MEASURE", "VALUE"), _rows(found))


def _rows(found: Evaluation) -> list[tuple[str, str]]:
    from equilib.training.metric import EVALUATE
    from equilib.training.metrics import METRICS

    numbers = [(row, found.statistics[row.name]) for row in METRICS if EVALUATE in row.places]
    return [
        (found.score_name.replace("_", " "), found.shown),
        ("samples", f"{found.samples:,}"),
        *((row.label, "-" if value is None else row.show(value)) for row, value in numbers),
        *((name, f"{value:.6g}") for name, value in found.concluded.items()),
        ("data", found.data or "-"),
        ("recorded", _recorded(found)),
    ]


def _recorded(found: Evaluation) -> str:
    if found.recorded is None:
        return "the run has no result"
    if not found.is_repetition:
        return f"{found.recorded:.6g}, on the run's own test data"
    return f"{found.recorded:.6g}, " + ("the same" if found.recorded == found.score else f"here {found.score:.6g}")
