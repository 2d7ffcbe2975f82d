"""Solver trace of a test batch: its residuals, step by step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equilib.errors import some
from equilib.fixed_points.solution import Solution
from equilib.report.charts import DASHED, SOLID, Chart, Series
from equilib.report.findings import Findings
from equilib.report.numbers import brief
from equilib.report.run import ReportedRun

MEDIAN, WORST = "median of the samples", "worst sample"


def trace_chart(runs: Sequence[ReportedRun], tested: Sequence[Findings | None]) -> Chart | None:
    """Return the residuals of each run's first test batch; None where no equilibrium was solved for."""
    series: list[Series] = []
    notes: dict[str, list[str]] = {}
    for run, found in zip(runs, tested, strict=True):
        if found is None or found.first_solve is None:
            continue
        solve = found.first_solve
        lines = (
            (MEDIAN, SOLID, np.median(solve.trace, axis=1)),
            (WORST, DASHED, np.max(solve.trace, axis=1)),
        )
        for kind, style, values in lines:
            points = [(float(step), float(value)) for step, value in enumerate(values) if np.isfinite(value)]
            series.append(Series(run=run.index, label=run.label, kind=kind, style=style, points=points))
        notes.setdefault(_note(solve), []).append(run.label)
    series = [each for each in series if each.points]
    if not series:
        return None
    return Chart(
        name="trace",
        title="Solver trace on a test batch",
        x_label="step",
        y_label=f"‖f(z) − z‖, {_norm(tested)} norm",
        series=tuple(series),
        logarithmic=True,
        note=" ".join(f"{', '.join(labels)}: {note}." for note, labels in notes.items()),
    )


def _note(solve: Solution) -> str:
    text = f"the first {some(solve.trace.shape[1], 'samples')}, each until ‖f(z) − z‖ ≤ {brief(solve.options.rtol)}·‖z‖"
    if solve.options.atol:
        text += f" + {brief(solve.options.atol)}"
    if solve.fallbacks:
        text += f"; after the solver's steps come those of {', '.join(solve.fallbacks)}, from the initial guess again"
    return text


def _norm(tested: Sequence[Findings | None]) -> str:
    norms = dict.fromkeys(str(each.first_solve.options.norm) for each in tested if each and each.first_solve)
    return " or ".join(norms)
