"""`equilib predict RUN IMAGE...`: classes of images by the model of a run."""

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
    from equilib.commands.predict import Prediction

HEADER = ("IMAGE", "CLASS", "PROBABILITY", "NEXT", "SOLVE", "RESIDUAL", "NFE", "NOTES")


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.argument("files", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--invert",
    is_flag=True,
    help="Invert the brightness of the images, as a model trained on light digits needs for dark ink.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="Compute on the CPU or on a GPU; by default on what the run used.",
)
@as_json
@click.pass_context
def predict(context: click.Context, /, run: Path, files: tuple[Path, ...], *, as_json: bool, **given: Any) -> None:
    """Classify pictures, or arrays in npy or npz files, with the model of the run in the folder RUN."""
    # Deferred: the model loads autograd and SciPy, which help does without.
    from equilib.commands.predict import predict as classify
    from equilib.runs.files import json_values
    from equilib.runs.reporting import open_reporter

    session: Session = context.obj
    with open_reporter(stream=sys.stderr) as reporter:
        found = list(classify(run, files, session.registry(), reporter=reporter, **given))
    if as_json:
        click.echo(json.dumps(json_values([each.describe() for each in found]), indent=2, allow_nan=False))
    else:
        click.echo(table(HEADER, [_cells(each) for each in found], width=terminal_width()))


def _cells(found: Prediction) -> tuple[str, ...]:
    ranked = sorted(found.probabilities.items(), key=lambda pair: -pair[1])
    following = " ".join(f"{name} {share:.1%}" for name, share in ranked[1:3])
    return (
        found.image,
        found.label or "-",
        f"{found.probability:.1%}",
        following,
        found.status,
        "-" if found.residual is None else f"{found.residual:.1e}",
        str(found.nfe),
        "; ".join(found.notes),
    )
