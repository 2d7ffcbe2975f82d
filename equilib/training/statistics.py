"""Statistics of one pass over the data, and what is recorded and said of an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from equilib.fixed_points.solution import SUCCESSES
from equilib.training.metric import Batch, Metric
from equilib.training.metrics import METRICS, metrics_of
from equilib.training.objectives import Objective
from equilib.training.snapshot import from_plain, to_plain

_MEASURED = {row.name: row for row in METRICS if row.measure}
_SPELLINGS = {
    "_loss": ("loss",),
    "_score": ("score",),
    "_nfe": ("forward_nfe",),
    "_njvp": ("forward_njvp",),
    "_adjoint_nfe": ("adjoint_nfe",),
    "_residual": ("residual",),
    "_forward": ("unconverged", "status"),
    "_adjoint": ("adjoint_unconverged", "adjoint_status"),
    "_adjoint_residual": ("adjoint_residual_max",),
}
"""What checkpoints of version 0.1.0 before the table of metrics call its sums."""


@dataclass(frozen=True)
class Measured:
    """The value of every metric of one batch, or of a share of it; None where it has none."""

    samples: int
    values: Mapping[str, Any]

    @classmethod
    def of(cls, batch: Batch) -> Measured:
        """Return what is measured of a batch."""
        return cls(batch.samples, {name: row.measure(batch) for name, row in _MEASURED.items() if row.measure})

    def joined(self, other: Measured) -> Measured:
        """Return what is measured of the batch of which these are two shares."""
        pairs = {name: (value, other.values[name]) for name, value in self.values.items()}
        values = {name: None if None in pair else _MEASURED[name].over.join(*pair) for name, pair in pairs.items()}
        return Measured(self.samples + other.samples, values)


class PassStatistics:
    """Every metric of one pass, accumulated batch by batch."""

    def __init__(self) -> None:
        self._samples = self._batches = 0
        self._sums = {name: row.over.start for name, row in _MEASURED.items()}

    def add(self, *shares: Measured) -> None:
        """Take note of one batch, in shares; what it does not know of, as a test of a loss, is unknown for the pass."""
        batch = reduce(Measured.joined, shares)
        self._samples += batch.samples
        self._batches += 1
        for name, value in batch.values.items():
            known = value is not None and self._sums[name] is not None
            self._sums[name] = _MEASURED[name].over.add(self._sums[name], value) if known else None

    def __getitem__(self, name: str) -> Any:
        """Return the metric of that name as a plain value; None where it is unknown."""
        total = self._sums[name]
        return None if total is None else _MEASURED[name].over.result(total, self._samples, self._batches)

    @property
    def score(self) -> float:
        """The mean score."""
        return float(self["score"])

    def describe(self) -> dict[str, Any]:
        """Return what a test records: the metrics without the score; every sample is in one of the statuses.

        Those of the adjoint are empty where nothing was differentiated, or by a sensitivity that solves no equation.
        The residual is None where nothing was solved for, as in an integration.
        """
        return {name: self[name] for name, row in _MEASURED.items() if row.is_tested and not row.is_score}

    def sums(self) -> dict[str, Any]:
        """Return what was accumulated so far, as JSON holds it."""
        return {"samples": self._samples, "batches": self._batches, "metrics": to_plain(self._sums)}

    @classmethod
    def from_sums(cls, sums: Mapping[str, Any]) -> PassStatistics:
        """Return the statistics whose `sums` these are; a metric that they lack is unknown for the pass.

        Raises ValueError if they hold a metric that this version of equilib does not have.
        """
        if "metrics" not in sums:
            renamed = {name: value for old, value in sums.items() for name in _SPELLINGS.get(old, (old,))}
            samples, batches = renamed.pop("_samples"), renamed.pop("_batches")
            sums = {"samples": samples, "batches": batches, "metrics": renamed}
        unknown = sums["metrics"].keys() - _MEASURED.keys()
        if unknown:
            raise ValueError(f"it keeps a metric that this version of equilib does not have: {min(unknown)}")
        statistics = cls()
        statistics._samples, statistics._batches = sums["samples"], sums["batches"]
        statistics._sums = dict.fromkeys(_MEASURED) | from_plain(sums["metrics"])
        return statistics


def epoch_record(trained: PassStatistics, tested: PassStatistics, score: str, **given: Any) -> dict[str, Any]:
    """Return the metrics of an epoch as they are recorded; `given` are those that no batch measures."""
    record: dict[str, Any] = {}
    for row, own in zip(METRICS, metrics_of(score), strict=True):
        if row.name in given:
            record[row.name] = given[row.name]
        elif row.measure:
            record |= {own.path()[0]: trained[row.name]}
        if row.is_score:
            record |= {own.path(test=True)[0]: tested[row.name]}
    return {**record, "test": tested.describe()}


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
