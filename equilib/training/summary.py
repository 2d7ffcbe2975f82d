"""Summary line of an epoch, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equilib.fixed_points.solution import SUCCESSES
from equilib.training.metric import Metric
from equilib.training.metrics import metrics_of
from equilib.training.objectives import Objective


def epoch_summary(metrics: Mapping[str, Any], objective: Objective) -> str:
    """Return one line about an epoch."""
    solves = metrics["phase"] != "pretrain"  # a fixed depth promises no convergence
    rows = [row for row in metrics_of(objective.score_name) if solves or not row.needs_solves]
    tests = (_part(row, row.test_line, metrics, test=True) for row in rows if row.value(metrics, test=True))
    return "".join((*(_trained(row, metrics, objective) for row in rows), *tests))


def _trained(row: Metric, metrics: Mapping[str, Any], objective: Objective) -> str:
    if row.is_score:
        tested, trained = (objective.show(row.value(metrics, test=test)) for test in (True, False))
        return f" {row.short.capitalize()}: {tested} (training {trained})"
    value = row.value(metrics)
    return "" if value is None or (row.hides_zero and not value) else _part(row, row.line, metrics, test=False)


def _part(row: Metric, form: str, metrics: Mapping[str, Any], *, test: bool) -> str:
    values = metrics["test"] if test else metrics
    counts = values.get(row.statuses) or {}
    causes = ", ".join(f"{count} {name}" for name, count in counts.items() if name not in SUCCESSES)
    return form.format(values.get(row.name)) + (f" ({causes})" if form and causes else "")
