"""`equilib check-gradient EXPERIMENT`: comparison of a gradient with finite differences, and its verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equilib.cli.experiment_command import ExperimentGroup
from equilib.cli.flags import FOLDER, AtLeast
from equilib.cli.output import FAILED, JSON, labelled, line, paragraph, print_json, table, terminal_width
from equilib.options.named import FIXED_POINT
from equilib.runs.flags import METHOD, PLACE
from equilib.runs.request import RunRequest

if TYPE_CHECKING:
    from equilib.diagnostics import GradientCheck


def _check(context: click.Context, request: RunRequest, *, as_json: bool, trained: Path | None, **given: Any) -> None:
    # Deferred: the model loads autograd and SciPy, which lists and help do without.
    from equilib.experiments.probe import load_probe, request_like
    from equilib.runs.record import RecordedRun

    run = None if trained is None else RecordedRun.read(trained)
    if run is not None:
        request = request_like(request, run)
    probe = load_probe(request, context.obj.registry, samples=given["samples"], trained=run)
    found = probe.deq.check_gradient(probe.params, probe.inputs, directions=given["directions"])
    if as_json:
        print_json(found.describe())
    else:
        where = "the initial parameters" if trained is None else f"the parameters in {trained}"
        click.echo(_text(found, f"{probe.inputs.shape[0]} samples, at {where}, in float64"))
    if not found.confirmed:
        context.exit(FAILED)


_POSITIVE = AtLeast(min=1)

check_gradient = ExperimentGroup(
    _check,
    name="check-gradient",
    help="Compare an experiment's gradient with finite differences and with the converged implicit one.",
    offers=lambda flag: flag.group in (METHOD, PLACE),
    after=(
        click.Option(
            ["--from", "trained"],
            type=FOLDER,
            metavar="DIR",
            help="Take model and method of the run in this folder; by default initial parameters.",
        ),
        click.Option(["--samples"], type=_POSITIVE, default=4, show_default=True, help="Take so many test samples."),
        click.Option(
            ["--directions"],
            type=_POSITIVE,
            default=4,
            show_default=True,
            help="Take finite differences along so many random directions.",
        ),
        JSON,
    ),
    title="Options",
    solves=FIXED_POINT,
)


def _text(found: GradientCheck, about: str) -> str:
    forward, adjoint = found.forward, found.adjoint_solve
    solved = "solves no equation" if adjoint is None else str(adjoint).partition(": ")[2].rstrip(")")
    facts = [
        ("about", f"the gradient of <c, z*> with random c, for {about}"),
        ("solver", found.solver),
        ("", f"{str(forward).partition(': ')[2].rstrip(')')}, {found.distance:.1e} away from the fixed point"),
        ("adjoint", found.adjoint),
        ("", solved),
    ]
    compared = [
        *((f"{part}, against the implicit gradient", each) for part, each in found.against_implicit.items()),
        ("along random directions, against finite differences", found.against_differences),
        ("the implicit gradient, against finite differences", found.implicit_against_differences),
    ]
    rows = [(name, f"{each.cosine:.9f}", f"{each.relative_error:.1e}") for name, each in compared]
    width = terminal_width()
    causes = [(name, f"{error:.1e}") for name, error in found.contributions.items()]
    return "\n\n".join(
        (
            labelled(facts),
            table(("GRADIENT", "COSINE", "RELATIVE ERROR"), rows, width=width),
            line(f"Finite differences should be right to {found.differences_error:.1e}."),
            table(("THE ERROR COMES FROM", "RELATIVE TO THE GRADIENT"), causes, width=width),
            paragraph(found.verdict),
        )
    )
