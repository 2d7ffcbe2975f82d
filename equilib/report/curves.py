"""Curves of what was recorded of each epoch of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equilib.report.charts import DASHED, DOTTED, SOLID, Chart, Series, is_wide
from equilib.report.run import ReportedRun

TRAINING, TEST, ADJOINT = "training", "test", "adjoint"
Line = tuple[str, str, str]
"""Kind, style, and the place in the metrics."""

_OPTIONAL = ("forward_njvp", "adjoint_nfe", "adjoint_unconverged")  # left out where it is zero all the time


def training_charts(runs: Sequence[ReportedRun]) -> list[Chart]:
    """Return loss and score, for each experiment by itself: those of different experiments are not comparable."""
    experiments = dict.fromkeys(run.experiment for run in runs)
    charts = []
    for experiment in experiments:
        members = [run for run in runs if run.experiment == experiment]
        ending, of = ("", "") if len(experiments) == 1 else (f"-{experiment}", f" of {experiment}")
        loss, y_label = (TRAINING, DASHED, "loss"), "mean loss of the training samples"
        charts.append(_chart(members, f"loss{ending}", f"Loss{of}", y_label, loss, logarithmic=None))
        for score in dict.fromkeys(run.score_name for run in members if run.score_name):
            scored = [run for run in members if run.score_name == score]
            charts.append(_score_chart(score, scored, ending, of))
    return [chart for chart in charts if chart.series]


def _score_chart(score: str, runs: Sequence[ReportedRun], ending: str, of: str) -> Chart:
    words, percent = score.replace("_", " "), score == "accuracy"
    return _chart(
        runs,
        f"{score.replace('_', '-')}{ending}",
        f"{words.capitalize()}{of}",
        f"{words}, in %" if percent else words,
        (TEST, SOLID, f"test_{score}"),
        (TRAINING, DASHED, f"train_{score}"),
        logarithmic=False if percent else None,
        percent=percent,
        from_zero=False,
    )


def solver_charts(runs: Sequence[ReportedRun]) -> list[Chart]:
    """Return what the solves took and reached; runs of different experiments are comparable in that."""
    pretrained = any(epoch.get("phase") == "pretrain" for run in runs for epoch in run.epochs)
    note = "Without epochs of pretraining: a fixed depth promises no convergence." if pretrained else ""
    charts = (
        _chart(runs, "nfe", "Evaluations of f", "evaluations per batch", *_both("forward_nfe")),
        _chart(
            runs,
            "products",
            "Products with the Jacobian",
            "products per batch of training",
            ("J·v, forward", SOLID, "forward_njvp"),
            ("Jᵀ·w, backward", DOTTED, "adjoint_nfe"),
            solved=True,
        ),
        _chart(runs, "residual", "Residual", "mean ‖f(z) − z‖ of the samples", *_both("residual"), logarithmic=True),
        _chart(
            runs,
            "unconverged",
            "Share unconverged",
            "samples that did not converge, in %",
            *_both("unconverged"),
            (ADJOINT, DOTTED, "adjoint_unconverged"),
            solved=True,
            percent=True,
            note=note,
        ),
    )
    return [chart for chart in charts if chart.series]


def _both(metric: str) -> tuple[Line, Line]:
    return (TEST, SOLID, f"test.{metric}"), (TRAINING, DASHED, metric)


def _chart(
    runs: Sequence[ReportedRun],
    name: str,
    title: str,
    y_label: str,
    *lines: Line,
    solved: bool = False,
    logarithmic: bool | None = False,
    **look: Any,
) -> Chart:
    """Return a chart of each run's lines, with `solved` without pretraining; `logarithmic` None: as they need it."""
    made = [_line(run, *line, solved=solved) for run in runs for line in lines]
    series = tuple(each for each in made if each.points)
    return Chart(
        name=name,
        title=title,
        x_label="epoch",
        y_label=y_label,
        series=series,
        logarithmic=is_wide(series) if logarithmic is None else logarithmic,
        span=(1.0, float(max(len(run.epochs) for run in runs))),
        **look,
    )


def _line(run: ReportedRun, kind: str, style: str, path: str, *, solved: bool) -> Series:
    points, hollow = [], 0
    for place, epoch in enumerate(run.epochs, start=1):
        pretrained = epoch.get("phase") == "pretrain"
        y = _at(epoch, path)
        if y is not None and not (solved and pretrained):
            points.append((float(place), y))
            hollow += pretrained
    if path in _OPTIONAL and not any(y for _, y in points):
        points = []
    return Series(run=run.index, label=run.label, kind=kind, style=style, points=points, hollow=hollow)


def _at(values: Any, path: str) -> float | None:
    for name in path.split("."):
        values = values.get(name) if isinstance(values, dict) else None
    return float(values) if isinstance(values, int | float) else None
