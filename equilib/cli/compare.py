"""`equilib compare EXPERIMENT`: one table about several solvers and adjoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equilib.cli.completion import PARTS, completed, listed
from equilib.cli.experiment_command import ExperimentGroup
from equilib.cli.flags import AtLeast
from equilib.cli.output import FAILED, JSON, as_text, line, print_json, print_table
from equilib.errors import UserError, harmless
from equilib.options.named import ODE
from equilib.plugin.registry import Registry
from equilib.runs.files import whole_file
from equilib.runs.request import RunRequest

if TYPE_CHECKING:
    from equilib.commands.combinations import Combination
    from equilib.commands.compare import RunResult
    from equilib.training.metric import Metric

RESULTS, PICTURE = "compare.json", "residual.png"


def _compare(context: click.Context, request: RunRequest, *, as_json: bool, sort: str | None, **given: Any) -> None:
    # Deferred: help and lists do without what runs need.
    from equilib.commands.combinations import combine, names_in
    from equilib.commands.compare import number_called
    from equilib.experiments.experiment import make_experiment
    from equilib.runs.folder import check_out, default_out, make_default_out

    order = None if sort is None else number_called(sort)
    solvers = [*given["solver"], *names_in(given["solvers"], "solver")]
    adjoints = [*given["adjoint"], *names_in(given["adjoints"], "adjoint")]
    name = f"{request.experiment}-compare"
    out = request.out or default_out(name)
    registry = context.obj.registry
    solves = make_experiment(request, registry).make_recipe().solves
    combinations, skipped = combine(registry, solvers, adjoints, request.options, request.fallback, solves=solves)
    check_out(out, overwrite=request.overwrite)
    if request.out is None:
        out = make_default_out(name)
    report = _Output(registry, request, out, combinations, skipped, given["jobs"])
    try:
        report.run()
        if solves != ODE:  # there are no residuals to follow
            report.follow()
    finally:
        report.show(as_json=as_json, order=order)
    if not any(result.status == "finished" for result in report.results):
        context.exit(FAILED)


_SPEC: dict[str, Any] = {"metavar": "NAME[:OPTION=VALUE,...]", "multiple": True}
_NAMES: dict[str, Any] = {"metavar": "NAME,...|all", "default": ""}

compare = ExperimentGroup(
    _compare,
    name="compare",
    help="Run an experiment with several solvers and adjoints, and compare.",
    offers=lambda flag: flag.name not in ("solver", "adjoint"),
    before=(
        click.Option(
            ["--solvers"],
            help="Compare these solvers, by name.",
            shell_complete=listed(*PARTS["solver"], also=["all"]),
            **_NAMES,
        ),
        click.Option(
            ["--solver"],
            help="Compare a solver with options; may be repeated.",
            shell_complete=completed("solver"),
            **_SPEC,
        ),
        click.Option(
            ["--adjoints"],
            help="Combine these adjoints with each solver; by default the one that suits it.",
            shell_complete=listed(*PARTS["adjoint"], also=["all"]),
            **_NAMES,
        ),
        click.Option(
            ["--adjoint"],
            help="Combine an adjoint with options with each solver; may be repeated.",
            shell_complete=completed("adjoint"),
            **_SPEC,
        ),
    ),
    after=(
        click.Option(
            ["--jobs"],
            type=AtLeast(min=1),
            default=1,
            help="Run so many at a time, each on its part of the cores; by default one after another.",
        ),
        click.Option(
            ["--sort"],
            metavar="METRIC",
            help="Order the table by a metric, the best run first: score, nfe, time, ...; by default as they ran.",
        ),
        JSON,
    ),
)


@dataclass
class _Output:
    """What is known so far: on disk after each run, on standard output at the end."""

    registry: Registry
    request: RunRequest
    out: Path
    combinations: list[Combination]
    skipped: dict[str, str]
    jobs: int = 1
    results: list[RunResult] = field(default_factory=list)
    curves: list[Any] = field(default_factory=list)

    def run(self) -> None:
        """Run all combinations."""
        from equilib.cli.sweep_bars import sweep_bars
        from equilib.commands.compare import result_of
        from equilib.commands.sweep import run_all

        self.out.mkdir(parents=True, exist_ok=True)
        for name in (RESULTS, PICTURE):
            (self.out / name).unlink(missing_ok=True)
        count, order = len(self.combinations), {each.name: place for place, each in enumerate(self.combinations)}
        with sweep_bars(self._say) as bars:
            for number, each in enumerate(self.combinations[: self.jobs], start=1):
                bars.say(f"[{number}/{count}] {each.name}")
            for run in run_all(self.request, self.combinations, self.out, jobs=self.jobs, look=bars.show):
                result = result_of(run)
                self.results = sorted([*self.results, result], key=lambda each: order[each.name])
                self._save()
                done = len(self.results)
                begins = done + self.jobs
                following = f"; [{begins}/{count}] {self.combinations[begins - 1].name}" if begins <= count else ""
                bars.say(f"[{done}/{count}] {result.name} {result.status}{following}")

    def follow(self) -> None:
        """Follow the residuals of the solvers that trained on one batch."""
        from equilib.commands.histories import histories
        from equilib.report import require_libraries
        from equilib.runs.record import RecordedRun

        finished = [each for each in self.results if each.status == "finished"]
        if not finished:
            return
        trained = RecordedRun.read(self.out / finished[0].name)
        solvers = [each.solver for each in finished]
        self.curves, missing = histories(self.request, self.registry, solvers, trained)
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
        from equilib.report.curves import comparison_chart
        from equilib.report.drawing import save_charts

        save_charts([comparison_chart(self.curves, Path(PICTURE).stem)], self.out, single=False)

    def _say(self, text: str) -> None:
        click.echo(harmless(text), err=True)

    def _save(self) -> None:
        with whole_file(self.out / RESULTS) as file:
            file.write(f"{as_text(self.describe())}\n".encode())

    def show(self, *, as_json: bool, order: str | None) -> None:
        """Print what is known, the table in the order of a metric."""
        if as_json:
            print_json(self.describe())
            return
        if self.results:
            _print(self.results, order)
        for name, reason in self.skipped.items():
            click.echo(line(f"Left out: {name}: {reason}"))
        for name in self._not_run():
            click.echo(line(f"Not run: {name}"))
        click.echo(line(f"Recorded in {self.out}"))

    def _not_run(self) -> list[str]:
        ran = {result.name for result in self.results}
        return [each.name for each in self.combinations if each.name not in ran]

    def describe(self) -> dict[str, Any]:
        """Return it all as plain values."""
        return {
            "experiment": self.request.experiment,
            "argv": list(self.request.argv),
            "seed": self.request.seed,
            "runs": [result.describe() for result in self.results],
            "skipped": [{"name": name, "reason": reason} for name, reason in self.skipped.items()],
            "not_run": self._not_run(),
            "residual": [vars(curve) for curve in self.curves],
        }


def _print(results: Sequence[RunResult], order: str | None) -> None:
    from equilib.commands.compare import NUMBERS, ranked
    from equilib.training.metric import COMPARE

    rows = [row for row in NUMBERS.values() if COMPARE in row.places]
    score = next((each.score_name for each in results if each.score_name), None)
    header = ("SOLVER", "ADJOINT", *(row.called(score).short.upper() for row in rows), "RESULT")
    ordered = results if order is None else ranked(results, order)
    print_table(header, [_cells(each, rows) for each in ordered])


def _cells(result: RunResult, rows: Iterable[Metric]) -> tuple[str, ...]:
    numbers = [(row.called(result.score_name), result.metrics[row.name]) for row in rows]
    return (
        result.solver,
        result.adjoint,
        *("-" if value is None else row.show(value) for row, value in numbers),
        result.status if result.error is None else f"{result.status}: {result.error}",
    )
