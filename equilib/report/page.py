"""Page about runs: one file, without scripts, that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from equilib.report import numbers, samples
from equilib.report.charts import Chart
from equilib.report.drawing import svg
from equilib.report.facts import groups
from equilib.report.findings import Findings
from equilib.report.palette import COLOURS, colour_of, sign_of
from equilib.report.run import ReportedRun
from equilib.training.metric import CARD, EPOCHS, Metric
from equilib.training.metrics import metrics_of


def render(
    runs: Sequence[ReportedRun],
    tested: Sequence[tuple[Findings | None, str | None]],
    *,
    training: Sequence[Chart],
    solver: Sequence[Chart],
) -> str:
    """Return the page; `tested` says for each run what its model does on test data, or why that is unknown."""
    pages = Environment(
        loader=PackageLoader("equilib.report", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    pages.globals |= {"colour_of": colour_of, "sign_of": sign_of, "number": numbers.number, "svg": svg}
    return pages.get_template("page.html.j2").render(
        title=_title(runs),
        notices=list(_notices(runs)),
        runs=runs,
        single=len(runs) == 1,
        tests=list(zip(runs, tested, strict=True)),
        training=training,
        solver=solver,
        facts=groups(runs),
        samples=samples,
        headline=_headline,
        columns=_columns,
        colours=COLOURS,
    )


def _title(runs: Sequence[ReportedRun]) -> str:
    experiments = ", ".join(dict.fromkeys(run.experiment for run in runs))
    return f"{experiments}: {runs[0].label}" if len(runs) == 1 else f"{experiments}: {len(runs)} runs"


def _notices(runs: Sequence[ReportedRun]) -> Iterator[tuple[str, str]]:
    """Yield the run that a notice is about, if it is about one, and the sentence."""
    for run in runs:
        if (sentence := run.early_end()) is not None:
            yield run.label, sentence
    experiments = dict.fromkeys(run.experiment for run in runs)
    for experiment in experiments:
        if len({run.facts.get("data_digest") for run in runs if run.experiment == experiment}) > 1:
            yield "", f"The runs of {experiment} differ in their data: their losses and scores are of other samples."
    if len(experiments) > 1:
        yield (
            "",
            "The experiments differ: losses and scores are in charts of their own, the work of the solvers in one.",
        )


def _headline(run: ReportedRun) -> Iterator[tuple[Metric, Any]]:
    """Yield what a run reached first of all."""
    for row in metrics_of(run.score_name):
        if CARD in row.places:
            yield row, run.value(row)


def _columns(run: ReportedRun) -> Iterator[tuple[str, Metric, bool]]:
    """Yield the metrics of each epoch: title, metric, and whether the value is that of the test."""
    for row in metrics_of(run.score_name):
        if EPOCHS not in row.places:
            continue
        if row.is_score:
            yield f"training {row.short}", row, False
            yield f"test {row.short}", row, True
        else:
            yield row.short, row, False
