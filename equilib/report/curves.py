"""Curves of what was recorded of each epoch of a run, and of what a comparison measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from equilib.commands.histories import Curve
from equilib.report.charts import DASHED, DOTTED, SOLID, Chart, Series, is_wide
from equilib.report.run import ReportedRun
from equilib.training.metric import Metric, Panel
from equilib.training.metrics import METRICS

TRAINING, TEST = "training", "test"
_LINEAR = 60  # evaluations that an axis without logarithm still shows one by one


def training_charts(runs: Sequence[ReportedRun]) -> list[Chart]:
    """Return loss and score, for each experiment by itself: those of different experiments are not comparable."""
    experiments = dict.fromkeys(run.experiment for run in runs)
    charts: list[Chart] = []
    for experiment in experiments:
        members = [run for run in runs if run.experiment == experiment]
        scores = dict.fromkeys(run.score_name for run in members if run.score_name)
        rows = [named for row in METRICS for named in ([row.called(s) for s in scores] if row.is_score else [row])]
        ending, of = ("", "") if len(experiments) == 1 else (f"-{experiment}", f" of {experiment}")
        charts += _charts(members, rows, comparable=False, ending=ending, of=of)
    return charts


def solver_charts(runs: Sequence[ReportedRun]) -> list[Chart]:
    """Return what the solves took and reached; runs of different experiments are comparable in that."""
    return list(_charts(runs, METRICS, comparable=True))


def _charts(
    runs: Sequence[ReportedRun], rows: Iterable[Metric], *, comparable: bool, ending: str = "", of: str = ""
) -> Iterator[Chart]:
    """Yield the charts of the panels that are comparable or not, `ending` and `of` in their names and titles."""
    panels: dict[Panel, list[Metric]] = {}
    for row in rows:
        if row.panel is not None and row.panel.comparable is comparable:
            panels.setdefault(row.panel, []).append(row)
    pretrained = any(epoch.get("phase") == "pretrain" for run in runs for epoch in run.epochs)
    for panel, members in panels.items():
        lines = list(_lines(members))
        series = tuple(each for run in runs for line in lines if (each := _series(run, *line)).points)
        if series:
            yield Chart(
                name=f"{panel.name}{ending}",
                title=f"{panel.title}{of}",
                x_label="epoch",
                y_label=panel.y_label,
                series=series,
                logarithmic=is_wide(series) if panel.logarithmic is None else panel.logarithmic,
                percent=panel.percent,
                from_zero=panel.from_zero,
                note=panel.note if pretrained else "",
                span=(1.0, float(max(len(run.epochs) for run in runs))),
            )


def _lines(rows: Sequence[Metric]) -> Iterator[tuple[Metric, str, str]]:
    """Yield the lines of a panel: the metric, the kind and the style."""
    for row in rows:
        if row.curve:
            yield row, row.curve, SOLID if row is rows[0] else DOTTED
            continue
        if row.is_tested:
            yield row, TEST, SOLID
        yield row, TRAINING, DASHED


def _series(run: ReportedRun, row: Metric, kind: str, style: str) -> Series:
    points, hollow = [], 0
    for place, epoch in enumerate(run.epochs, start=1):
        pretrained = epoch.get("phase") == "pretrain"
        y = row.value(epoch, test=kind == TEST)
        if isinstance(y, int | float) and not (row.needs_solves and pretrained):
            points.append((float(place), float(y)))
            hollow += pretrained
    if row.hides_zero and not any(y for _, y in points):
        points = []
    return Series(run=run.index, label=run.label, kind=kind, style=style, points=points, hollow=hollow)


def comparison_chart(curves: Sequence[Curve], name: str) -> Chart:
    """Return what each solver's residual cost."""
    return Chart(
        name=name,
        title="Residual of a test batch",
        x_label="evaluations of f and products with its Jacobian",
        y_label="median ‖f(z) − z‖ of the best iterate (rms)",
        series=tuple(
            Series(
                run=place,
                label=curve.solver,
                style=(SOLID, DASHED, DOTTED)[place // 6 % 3],  # colours repeat after six
                points=list(zip(curve.cost, curve.residual, strict=True)),
            )
            for place, curve in enumerate(curves)
        ),
        logarithmic=True,
        logarithmic_x=any(curve.cost[-1] > _LINEAR for curve in curves if curve.cost),
        stepped=True,
    )
