"""The command compare: results of runs of one experiment, and their order."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equilib.commands.combinations import Combination
from equilib.commands.sweep import ProgramRun
from equilib.errors import UserError, did_you_mean
from equilib.runs.record import RecordedRun
from equilib.training.metrics import METRICS

NUMBERS = {row.name: row for row in METRICS if row.is_number}
"""What is known of each run, by its name."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How one run ended and what it took."""

    name: str  # the folder of the run, beside a file of that name + ".log" with what it printed
    solver: str  # as it was asked for
    adjoint: str  # the same; its name where it was left to the solver
    status: str  # "finished", "interrupted", "failed", or "refused" where the run never began
    error: str | None
    score_name: str | None = None
    # The value of every metric that is a number, the score as "score"; None where the run did not get to it.
    metrics: Mapping[str, Any] = field(default_factory=lambda: dict.fromkeys(NUMBERS))

    def describe(self) -> dict[str, Any]:
        """Return it as plain values, metrics beside the rest."""
        plain = {name: value for name, value in vars(self).items() if name != "metrics"}
        return {**plain, **self.metrics}


def result_of(run: ProgramRun) -> RunResult:
    """Return how a run ended."""
    return read_result(run.combination, run.folder, run.log, run.code or 0)


def read_result(combination: Combination, folder: Path, log: Path, code: int) -> RunResult:
    """Read how a run ended from its folder, or from what it printed where it left no record."""
    name, solver, adjoint = combination.name, combination.solver, combination.adjoint or ""
    try:
        run = RecordedRun.read(folder)
    except UserError:
        status, error = "refused" if code == 2 else "failed", _last_line(log, code)
        return RunResult(name=name, solver=solver, adjoint=adjoint, status=status, error=error)
    status = run.facts.get("status") or "failed"
    if status == "running":  # it was killed
        status = "failed"
    chosen = (run.facts.get("method") or {}).get("adjoint") or {}
    return RunResult(
        name=name,
        solver=solver,
        adjoint=adjoint or chosen.get("name", ""),
        status=status,
        error=run.facts.get("error") or (None if status == "finished" else _last_line(log, code)),
        score_name=run.score_name,
        metrics={name: run.value(row.called(run.score_name)) for name, row in NUMBERS.items()},
    )


def _last_line(log: Path, code: int) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1]
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
    return f"the process ended with {how}; {log} holds what it printed"


def ranked(results: Sequence[RunResult], name: str) -> list[RunResult]:
    """Return the results from the best to the worst by a metric of NUMBERS; those without it come last."""

    def place(result: RunResult) -> tuple[bool, float]:
        row, value = NUMBERS[name].called(result.score_name), result.metrics[name]
        return value is None, 0.0 if value is None else -value if row.better == "higher" else value

    return sorted(results, key=place)


def number_called(text: str) -> str:
    """Return the name of the metric that is called so in the table or in the record.

    Raises UserError if there is none.
    """
    names = {row.short.replace(" ", "_"): name for name, row in NUMBERS.items()} | {name: name for name in NUMBERS}
    if text.lower() not in names:
        hint = did_you_mean(text, names) or f" There are {', '.join(NUMBERS)}."
        raise UserError(f"no metric {text!r}.{hint}")
    return names[text.lower()]
