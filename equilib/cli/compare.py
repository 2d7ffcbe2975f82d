"""`equilib compare EXPERIMENT`: one table about several solvers and adjoints."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equilib.cli.experiment_command import (
    ExperimentGroup,
    experiment_command,
    fallback_option,
    out_options,
    place_options,
    session_of,
)
from equilib.cli.session import Session
from equilib.cli.table import table, terminal_width
from equilib.errors import UserError
from equilib.options import parse_assignments
from equilib.plugin import ExperimentEntry
from equilib.runs.request import RunRequest

if TYPE_CHECKING:
    from equilib.commands.combinations import Combination, Skipped
    from equilib.commands.compare import Outcome

PROGRAM = (sys.executable, "-c", "import sys; from equilib.cli import main; sys.exit(main())")
RESULTS, PICTURE = "compare.json", "residual.png"
COLUMNS = ("SOLVER", "ADJOINT", "SCORE", "RESIDUAL", "UNCONVERGED", "NFE", "JVP", "VJP", "SECONDS", "MEMORY", "RESULT")
FAILED = 1
"""The exit status where no run finished."""


def _command(entry: ExperimentEntry) -> click.Command:
    def act(context: click.Context, values: dict[str, object], given: dict[str, Any]) -> None:
        # Deferred: help and lists do without what runs need.
        from equilib.commands.combinations import combine, names_in
        from equilib.plugin.integration_choice import integrates
        from equilib.runs.folder import check_out, default_out

        session = session_of(context)
        as_json = given.pop("as_json")
        solvers = [*given.pop("solver"), *names_in(given.pop("solvers"), "solver")]
        adjoints = [*given.pop("adjoint"), *names_in(given.pop("adjoints"), "adjoint")]
        given["options"] = parse_assignments(given.pop("option"))
        out = given.pop("out") or default_out(f"{entry.name}-compare")
        request = RunRequest(experiment=entry.name, values=values, argv=session.argv, **given)
        of_ode = integrates(entry.load())
        combinations, skipped = combine(
            session.registry(), solvers, adjoints, request.options, request.fallback, integrates=of_ode
        )
        check_out(out, overwrite=request.overwrite)
        report = _Report(session, request, out, combinations, skipped)
        try:
            report.run()
            if not of_ode:  # there are no residuals to follow
                report.follow()
        finally:
            report.show(as_json=as_json)
        if not any(outcome.status == "finished" for outcome in report.outcomes):
            context.exit(FAILED)

    own = [*_method_options(), *place_options(), *out_options(), *_own_options()]
    return experiment_command(entry, own, act)


compare = ExperimentGroup(
    name="compare",
    help="Run an experiment with several solvers and adjoints, one after another, and compare.",
    make=_command,
)


def _method_options() -> list[click.Option]:
    spec = "NAME[:OPTION=VALUE,...]"
    return [
        click.Option(["--solvers"], metavar="NAME,...|all", default="", help="Solvers to compare, by name."),
        click.Option(["--solver"], metavar=spec, multiple=True, help="A solver with options; may be repeated."),
        click.Option(
            ["--adjoints"],
            metavar="NAME,...|all",
            default="",
            help="Adjoints to combine with each solver; by default the one that suits it.",
        ),
        click.Option(["--adjoint"], metavar=spec, multiple=True, help="An adjoint with options; may be repeated."),
        fallback_option(),
        click.Option(
            ["-o", "--option"],
            metavar="OPTION=VALUE",
            multiple=True,
            help="An option of every solver, such as rtol; may be repeated.",
        ),
    ]


def _own_options() -> list[click.Option]:
    return [click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")]


class _Report:
    """What is known so far: on disk after each run, on standard output at the end."""

    def __init__(
        self,
        session: Session,
        request: RunRequest,
        out: Path,
        combinations: list[Combination],
        skipped: list[Skipped],
    ) -> None:
        self.session, self.request, self.out = session, request, out
        self.combinations, self.skipped = combinations, skipped
        self.outcomes: list[Outcome] = []
        self.curves: list[Any] = []

    def run(self) -> None:
        """Run all combinations."""
        from equilib.commands.compare import Comparison

        self.out.mkdir(parents=True, exist_ok=True)
        for name in (RESULTS, PICTURE):
            (self.out / name).unlink(missing_ok=True)
        count = len(self.combinations)
        comparison = Comparison(program=PROGRAM, request=self.request, out=self.out)
        self._say(f"[1/{count}] {self.combinations[0].name}")
        for outcome in comparison.run(self.combinations):
            self.outcomes.append(outcome)
            self._save()
            done = len(self.outcomes)
            following = f"; [{done + 1}/{count}] {self.combinations[done].name}" if done < count else ""
            self._say(f"[{done}/{count}] {outcome.name} {outcome.status}{following}")

    def follow(self) -> None:
        """Follow the residuals of the solvers that trained on one batch."""
        from equilib.commands.histories import histories
        from equilib.report.libraries import require_libraries
        from equilib.runs.record import RecordedRun

        finished = [each for each in self.outcomes if each.status == "finished"]
        if not finished:
            return
        trained = RecordedRun.read(self.out / finished[0].name)
        solvers = [each.solver for each in finished]
        self.curves, missing = histories(self.request, self.session.registry(), solvers, trained)
        for solver, reason in missing.items():
            self._say(f"no residuals of {solver}: {reason}")
        self._save()
        if not self.curves:
            return
        try:
            require_libraries()
        except UserError as error:
            self._say(f"no {PICTURE}: {error}")
            return
        from equilib.report.comparison import save_comparison

        save_comparison(self.curves, self.out / PICTURE)

    def _say(self, line: str) -> None:
        click.echo(line, err=True)

    def _save(self) -> None:
        (self.out / RESULTS).write_text(self._json() + "\n", encoding="utf-8")

    def _json(self) -> str:
        from equilib.runs.files import json_values

        return json.dumps(json_values(self.describe()), indent=2, allow_nan=False)

    def show(self, *, as_json: bool) -> None:
        """Print what is known."""
        if as_json:
            click.echo(self._json())
            return
        if self.outcomes:
            name = next((each.score_name for each in self.outcomes if each.score_name), "score")
            header = tuple(name.upper() if title == "SCORE" else title for title in COLUMNS)
            click.echo(table(header, [_cells(each) for each in self.outcomes], width=terminal_width()))
        for skipped in self.skipped:
            click.echo(f"Left out: {skipped.name}: {skipped.reason}")
        for combination in self.combinations[len(self.outcomes) :]:
            click.echo(f"Not run: {combination.name}")
        click.echo(f"Recorded in {self.out}")

    def describe(self) -> dict[str, Any]:
        """Return it all as plain values."""
        return {
            "experiment": self.request.experiment,
            "argv": list(self.request.argv),
            "seed": self.request.seed,
            "runs": [outcome.describe() for outcome in self.outcomes],
            "skipped": [vars(each) for each in self.skipped],
            "not_run": [each.name for each in self.combinations[len(self.outcomes) :]],
            "residual": [vars(curve) for curve in self.curves],
        }


def _cells(outcome: Outcome) -> tuple[str, ...]:
    def number(value: float | None, form: str, scale: float = 1.0) -> str:
        return "-" if value is None else format(scale * value, form)

    return (
        outcome.solver,
        outcome.adjoint,
        number(outcome.score, ".4f"),
        number(outcome.residual, ".1e"),
        number(outcome.unconverged, ".1%"),
        number(outcome.forward_nfe, ".1f"),
        number(outcome.forward_njvp, ".1f"),
        number(outcome.adjoint_nfe, ".1f"),
        number(outcome.seconds, ".1f"),
        number(outcome.peak_memory, ".0f", 2.0**-20) + (" MiB" if outcome.peak_memory else ""),
        outcome.status if outcome.error is None else f"{outcome.status}: {outcome.error}",
    )
