"""`equilib check-gradient EXPERIMENT`: comparison of a gradient with finite differences, and its verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from equilib.cli.experiment_command import ExperimentGroup, experiment_command
from equilib.cli.flags import FOLDER, run_flags
from equilib.cli.output import paragraph, print_json, table
from equilib.cli.session import Session
from equilib.plugin import ExperimentEntry
from equilib.runs.flags import METHOD, PLACE
from equilib.runs.request import RunRequest

if TYPE_CHECKING:
    from equilib.diagnostics import GradientCheck

FAILED = 1
"""The exit status where the gradient cannot be judged, or a derivative is wrong."""


def _command(entry: ExperimentEntry, session: Session) -> click.Command:
    def act(context: click.Context, values: dict[str, object], given: dict[str, Any]) -> None:
        as_json, trained = given.pop("as_json"), given.pop("trained")
        samples, directions = given.pop("samples"), given.pop("directions")
        request = RunRequest(experiment=entry.name, values=values, argv=session.argv, **given)

        # Deferred: the model loads autograd and SciPy, which lists and help do without.
        from equilib.experiments.probe import load_probe, request_like
        from equilib.runs.record import RecordedRun

        run = None if trained is None else RecordedRun.read(trained)
        if run is not None:
            request = request_like(request, run)
        probe = load_probe(request, session.registry(), samples=samples, trained=run)
        found = probe.deq.check_gradient(probe.params, probe.inputs, directions=directions)
        if as_json:
            print_json(found.describe())
        else:
            where = "the initial parameters" if trained is None else f"the parameters in {trained}"
            click.echo(_text(found, f"{probe.inputs.shape[0]} samples, at {where}, in float64"))
        if not found.confirmed:
            context.exit(FAILED)

    flags = run_flags(entry, session.registry(), lambda flag: flag.group in (METHOD, PLACE))
    return experiment_command(entry, [*flags, *_own_options()], act, title="Options")


check_gradient = ExperimentGroup(
    name="check-gradient",
    help="Compare an experiment's gradient with finite differences and with the converged implicit one.",
    make=_command,
)


def _own_options() -> list[click.Option]:
    positive = click.IntRange(min=1)
    return [
        click.Option(
            ["--from", "trained"],
            type=FOLDER,
            metavar="DIR",
            help="Take model and method of the run in this folder; by default initial parameters.",
        ),
        click.Option(["--samples"], type=positive, default=4, show_default=True, help="Take so many test samples."),
        click.Option(
            ["--directions"],
            type=positive,
            default=4,
            show_default=True,
            help="Take finite differences along so many random directions.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
    ]


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
    causes = [(name, f"{error:.1e}") for name, error in found.contributions.items()]
    return "\n\n".join(
        (
            "\n".join(f"{label:<9}{fact}" for label, fact in facts),
            table(("GRADIENT", "COSINE", "RELATIVE ERROR"), rows),
            f"Finite differences should be right to {found.differences_error:.1e}.",
            table(("THE ERROR COMES FROM", "RELATIVE TO THE GRADIENT"), causes),
            paragraph(found.verdict),
        )
    )
