"""`equilib predict RUN FILE...`: classes of images, or other outputs, by the model of a run."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equilib.cli.flags import Place, device, kernels, run_argument
from equilib.cli.output import as_json, print_json, print_table
from equilib.cli.session import Session

if TYPE_CHECKING:
    from equilib.commands.predict import Prediction

HEADER = ("IMAGE", "CLASS", "PROBABILITY", "NEXT", "SOLVE", "RESIDUAL", "NFE", "NOTES")


@click.command()
@run_argument
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=Place(dir_okay=False))
@click.option(
    "--invert",
    is_flag=True,
    help="Invert the brightness of the images, as a model trained on light digits needs for dark ink.",
)
@device
@kernels
@as_json
@click.pass_obj
def predict(session: Session, /, run: Path, files: tuple[Path, ...], *, as_json: bool, **given: Any) -> None:
    """Classify pictures, or arrays in npy or npz files, with the model of the run in the folder RUN.

    What is no image is read from arrays like the run's inputs; where there are no classes, the outputs are printed.
    """
    # Deferred: the model loads autograd and SciPy, which help does without.
    from equilib.commands.predict import predict as classify
    from equilib.runs.reporters import open_reporter

    with open_reporter(stream=sys.stderr) as reporter:
        found = list(classify(run, files, session.registry, reporter=reporter, **given))
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        labelled = found[0].probability is not None
        print_table(HEADER if labelled else ("INPUT", "OUTPUT", *HEADER[4:]), [_cells(each) for each in found])


def _cells(found: Prediction) -> tuple[str, ...]:
    said: tuple[str, ...] = (str(found.outputs).strip("[]"),)
    if found.probability is not None:
        ranked = sorted(found.probabilities.items(), key=lambda pair: -pair[1])
        following = " ".join(f"{name} {share:.1%}" for name, share in ranked[1:3])
        said = (found.label or "-", f"{found.probability:.1%}", following)
    return (
        found.image,
        *said,
        found.status,
        "-" if found.residual is None else f"{found.residual:.1e}",
        str(found.nfe),
        "; ".join(found.notes),
    )
