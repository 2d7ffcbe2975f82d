"""The page: one file, without scripts, that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files

from equilib.report import numbers, samples
from equilib.report.charts import Chart
from equilib.report.findings import Findings
from equilib.report.html import Html, element, joined
from equilib.report.run import ReportedRun
from equilib.report.svg import figure, swatch
from equilib.report.tables import epochs_table, facts_table


def render(
    runs: Sequence[ReportedRun],
    tested: Sequence[tuple[Findings | None, str | None]],
    *,
    training: Sequence[Chart],
    solver: Sequence[Chart],
) -> str:
    """Return the page; the same records and models give the same bytes.

    Parameters
    ----------
    runs : sequence of ReportedRun
    tested : sequence
        For each run what its model does on test data, or why that is unknown.
    training, solver : sequence of Chart
    """
    title = _title(runs)
    style = files("equilib.report").joinpath("page.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(style)),
    )
    body = element(
        "body",
        element("header", element("h1", title), *_notices(runs)),
        element("main", *_sections(runs, tested, training, solver)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _title(runs: Sequence[ReportedRun]) -> str:
    experiments = ", ".join(dict.fromkeys(run.experiment for run in runs))
    return f"{experiments}: {runs[0].label}" if len(runs) == 1 else f"{experiments}: {len(runs)} runs"


def _notices(runs: Sequence[ReportedRun]) -> Iterator[Html]:
    for run in runs:
        if (sentence := run.early_end()) is not None:
            yield element("p", element("strong", run.label), f" {sentence}", class_="notice")
    for experiment in dict.fromkeys(run.experiment for run in runs):
        digests = {run.facts.get("data_digest") for run in runs if run.experiment == experiment}
        if len(digests) > 1:
            text = f"The runs of {experiment} differ in their data: their losses and scores are of other samples."
            yield element("p", text, class_="notice")
    if len({run.experiment for run in runs}) > 1:
        text = "The experiments differ: losses and scores are in charts of their own, the work of the solvers in one."
        yield element("p", text, class_="notice")


def _sections(
    runs: Sequence[ReportedRun],
    tested: Sequence[tuple[Findings | None, str | None]],
    training: Sequence[Chart],
    solver: Sequence[Chart],
) -> Iterator[Html]:
    single = len(runs) == 1
    yield element("section", *(_card(run, single=single) for run in runs), class_="cards", aria_label="Outcome")
    yield element("section", element("h2", "Training"), _charts(training, "No epoch was recorded.", single=single))
    yield element("section", element("h2", "Solver"), _charts(solver, "No solve was recorded.", single=single))
    for run, (found, reason) in zip(runs, tested, strict=True):
        heading = element("h2", "Test data" if single else joined(["Test data: ", swatch(run.index), " ", run.label]))
        content = samples.section(run, found) if found else element("p", _unknown(reason))
        yield element("section", heading, content)
    yield element("section", element("h2", "Facts"), _explain_facts(single=single), facts_table(runs))
    yield element(
        "section",
        element("h2", "Epochs"),
        element("p", "Means per batch, of training; J·v and Jᵀ·w count products with the Jacobian.", class_="note"),
        *(element("details", element("summary", run.label), epochs_table(run)) for run in runs if run.epochs),
    )


def _unknown(reason: str | None) -> str:
    text = reason or "no model was saved"
    return f"No confusion matrix, no pictures and no solver trace: {text.rstrip('.')}."


def _explain_facts(*, single: bool) -> Html | None:
    return None if single else element("p", "Marked: what differs between the runs.", class_="note")


def _charts(charts: Sequence[Chart], otherwise: str, *, single: bool) -> Html:
    if not charts:
        return element("p", otherwise)
    return element("div", *(figure(chart, single=single) for chart in charts), class_="charts")


def _card(run: ReportedRun, *, single: bool) -> Html:
    results, score = run.results, run.score_name
    entries: list[tuple[str, Html]] = []
    if score:
        words = score.replace("_", " ")
        shown = lambda value: numbers.score(score, value)  # noqa: E731
        entries.append((f"test {words}", numbers.number(results.get(f"test_{score}"), shown)))
    tests = results.get("test") or {}
    entries += [
        ("loss", numbers.number(results.get("loss"), numbers.plain)),
        ("nfe per batch", numbers.number(results.get("forward_nfe"), numbers.count)),
        ("test residual", numbers.number(tests.get("residual"), numbers.small)),
        ("unconverged", numbers.number(tests.get("unconverged"), numbers.share)),
        ("training", numbers.number(_seconds(run), numbers.seconds)),
        ("peak memory", numbers.number(run.facts.get("peak_memory"), numbers.memory)),
    ]
    mark = None if single else joined([swatch(run.index), " "])
    status = element("span", run.status, class_=f"status {run.status}")
    method = run.facts.get("method") or {}
    chosen = [(method.get(part) or {}).get("name") for part in ("solver", "integrator", "adjoint")]
    return element(
        "article",
        element("h2", mark, run.label, " ", status),
        element("p", " · ".join([run.experiment, *filter(None, chosen), run.progress()]), class_="muted"),
        element("dl", *(element("div", element("dt", name), element("dd", value)) for name, value in entries)),
        class_="card",
    )


def _seconds(run: ReportedRun) -> float | None:
    return sum(epoch.get("seconds") or 0.0 for epoch in run.epochs) if run.epochs else None
