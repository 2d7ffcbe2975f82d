"""The charts of what was recorded of each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equilib.report.charts import DASHED, DOTTED, SOLID, Chart, Series, is_wide
from equilib.report.run import ReportedRun

TRAINING, TEST, ADJOINT = "training", "test", "adjoint"
Line = tuple[str, str, str]
"""Kind, style, and the place in the metrics."""


def training_charts(runs: Sequence[ReportedRun]) -> list[Chart]:
    """Return loss and score, for each experiment by itself: those of different experiments are not comparable."""
    experiments = dict.fromkeys(run.experiment for run in runs)
    charts: list[Chart] = []
    for experiment in experiments:
        members = [run for run in runs if run.experiment == experiment]
        ending, of = ("", "") if len(experiments) == 1 else (f"-{experiment}", f" of {experiment}")
        loss = _series(members, (TRAINING, DASHED, "loss"))
        charts.append(
            Chart(
                name=f"loss{ending}",
                title=f"Loss{of}",
                x_label="epoch",
                y_label="mean loss of the training samples",
                series=loss,
                logarithmic=is_wide(loss),
                span=_span(members),
            )
        )
        for score in dict.fromkeys(run.score_name for run in members if run.score_name):
            scored = [run for run in members if run.score_name == score]
            charts += [_score_chart(score, scored, ending, of)]
    return [chart for chart in charts if chart.series]


def _score_chart(score: str, runs: Sequence[ReportedRun], ending: str, of: str) -> Chart:
    words, percent = score.replace("_", " "), score == "accuracy"
    series = _series(runs, (TEST, SOLID, f"test_{score}"), (TRAINING, DASHED, f"train_{score}"))
    return Chart(
        name=f"{score.replace('_', '-')}{ending}",
        title=f"{words.capitalize()}{of}",
        x_label="epoch",
        y_label=f"{words}, in %" if percent else words,
        series=series,
        logarithmic=not percent and is_wide(series),
        percent=percent,
        from_zero=False,
        span=_span(runs),
    )


def solver_charts(runs: Sequence[ReportedRun]) -> list[Chart]:
    """Return what the solves took and reached; runs of different experiments are comparable in that."""
    charts = [_nfe(runs), _products(runs), _residual(runs), _unconverged(runs)]
    return [chart for chart in charts if chart.series]


def _nfe(runs: Sequence[ReportedRun]) -> Chart:
    return Chart(
        name="nfe",
        title="Evaluations of f",
        x_label="epoch",
        y_label="evaluations per batch",
        series=_series(runs, (TEST, SOLID, "test.forward_nfe"), (TRAINING, DASHED, "forward_nfe")),
        span=_span(runs),
    )


def _products(runs: Sequence[ReportedRun]) -> Chart:
    lines = _series(
        runs, ("J·v, forward", SOLID, "forward_njvp"), ("Jᵀ·w, backward", DOTTED, "adjoint_nfe"), solved=True
    )
    return Chart(
        name="products",
        title="Products with the Jacobian",
        x_label="epoch",
        y_label="products per batch of training",
        series=_nonzero(lines),
        span=_span(runs),
    )


def _residual(runs: Sequence[ReportedRun]) -> Chart:
    return Chart(
        name="residual",
        title="Residual",
        x_label="epoch",
        y_label="mean ‖f(z) − z‖ of the samples",
        series=_series(runs, (TEST, SOLID, "test.residual"), (TRAINING, DASHED, "residual")),
        logarithmic=True,
        span=_span(runs),
    )


def _unconverged(runs: Sequence[ReportedRun]) -> Chart:
    solves = _series(runs, (TEST, SOLID, "test.unconverged"), (TRAINING, DASHED, "unconverged"), solved=True)
    adjoint = _series(runs, (ADJOINT, DOTTED, "adjoint_unconverged"), solved=True)
    pretrained = any(epoch.get("phase") == "pretrain" for run in runs for epoch in run.epochs)
    return Chart(
        name="unconverged",
        title="Share unconverged",
        x_label="epoch",
        y_label="samples that did not converge, in %",
        series=(*solves, *_nonzero(adjoint)),
        percent=True,
        note="Without epochs of pretraining: a fixed depth promises no convergence." if pretrained else "",
        span=_span(runs),
    )


def _series(runs: Sequence[ReportedRun], *lines: Line, solved: bool = False) -> tuple[Series, ...]:
    """Return the lines of each run that have points; with `solved` without the epochs of pretraining."""
    made = (_line(run, *line, solved=solved) for run in runs for line in lines)
    return tuple(each for each in made if each.points)


def _nonzero(series: tuple[Series, ...]) -> tuple[Series, ...]:
    return tuple(each for each in series if any(y for _, y in each.points))


def _line(run: ReportedRun, kind: str, style: str, path: str, *, solved: bool) -> Series:
    points, hollow = [], 0
    for place, epoch in enumerate(run.epochs, start=1):
        pretrained = epoch.get("phase") == "pretrain"
        y = _at(epoch, path)
        if y is not None and not (solved and pretrained):
            points.append((float(place), y))
            hollow += pretrained
    return Series(run=run.index, label=run.label, kind=kind, style=style, points=points, hollow=hollow)


def _at(values: Any, path: str) -> float | None:
    for name in path.split("."):
        values = values.get(name) if isinstance(values, dict) else None
    return float(values) if isinstance(values, int | float) else None


def _span(runs: Sequence[ReportedRun]) -> tuple[float, ...]:
    return (1.0, float(max(len(run.epochs) for run in runs)))
