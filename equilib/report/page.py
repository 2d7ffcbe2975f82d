"""Page about runs: one file, without scripts, that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from equilib.report import numbers, samples
from equilib.report.charts import Chart
from equilib.report.drawing import svg
from equilib.report.facts import groups
from equilib.report.findings import Findings
from equilib.report.palette import COLOURS, colour_of, sign_of
from equilib.report.run import ReportedRun

Column = tuple[str, str, Callable[[Any], str]]
"""The title of a metric, its place in the record, and how it is shown."""


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


def _headline(run: ReportedRun) -> Iterator[tuple[str, Any, Callable[[Any], str]]]:
    """Yield what a run reached first of all: name, number, and how it is shown."""
    results, tests = run.results, run.results.get("test") or {}
    if score := run.score_name:
        yield f"test {score.replace('_', ' ')}", results.get(f"test_{score}"), numbers.shows_score(score)
    yield "loss", results.get("loss"), numbers.plain
    yield "nfe per batch", results.get("forward_nfe"), numbers.count
    yield "test residual", tests.get("residual"), numbers.small
    yield "unconverged", tests.get("unconverged"), numbers.share
    yield "training", run.training_seconds, numbers.seconds
    yield "peak memory", run.facts.get("peak_memory"), numbers.memory


def _columns(run: ReportedRun) -> Iterator[Column]:
    """Yield the metrics of each epoch."""
    yield "loss", "loss", numbers.plain
    if score := run.score_name:
        words, show = score.replace("_", " "), numbers.shows_score(score)
        yield f"training {words}", f"train_{score}", show
        yield f"test {words}", f"test_{score}", show
    yield "nfe", "forward_nfe", numbers.count
    yield "J·v", "forward_njvp", numbers.count
    yield "Jᵀ·w", "adjoint_nfe", numbers.count
    yield "residual", "residual", numbers.small
    yield "unconverged", "unconverged", numbers.share
    yield "time", "seconds", numbers.seconds
