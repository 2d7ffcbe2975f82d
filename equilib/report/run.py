"""Recorded run as a report sees it: with its label and its place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from equilib.errors import harmless
from equilib.runs.files import harmless_values
from equilib.runs.record import RecordedRun
from equilib.runs.request import RunRequest


@dataclass(frozen=True)
class ReportedRun(RecordedRun):
    """A run, what it is called, and its place among the runs, which decides colour and marker.

    The texts of its `facts` and `epochs` are harmless; `record` holds what they were, and `damages` what could not be
    read.
    """

    index: int
    label: str
    record: RecordedRun
    damages: list[str]

    @cached_property
    def epochs(self) -> list[dict[str, Any]]:
        """What was recorded of each epoch."""
        return list(map(harmless_values, self.record.epochs))

    def request(self, **changes: Any) -> RunRequest:
        """Return what the run was asked for, with changes."""
        return self.record.request(**changes)

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return str(self.facts.get("experiment") or "unknown experiment")

    @property
    def status(self) -> str:
        """How the run stands, by its record."""
        return str(self.facts.get("status") or "unknown")

    @property
    def planned(self) -> int | None:
        """The epochs that were asked for, those of pretraining included; None where the record does not say."""
        options = self.facts.get("options") or {}
        asked = [options[name] for name in ("epochs", "pretrain_epochs") if isinstance(options.get(name), int)]
        return sum(asked) if asked else None

    @property
    def methods(self) -> list[str]:
        """The names of its solver or integrator, and of its adjoint."""
        method = self.facts.get("method") or {}
        return [method[part]["name"] for part in ("solver", "integrator", "adjoint") if method.get(part)]

    def progress(self) -> str:
        """Return how far it got."""
        of = "" if self.planned is None else f" of {self.planned}"
        return f"{len(self.epochs)}{of} epochs"

    def early_end(self) -> str | None:
        """Return a sentence about a run that did not finish."""
        if self.status == "finished":
            return None
        if self.status == "running":
            return f"has not ended: it is still running, or its process was killed; {self.progress()} are recorded"
        error = self.facts.get("error")
        return f"{self.status} after {self.progress()}" + (f": {error}" if error else "")


def read_runs(paths: Sequence[Path]) -> list[ReportedRun]:
    """Read the runs; each is called by its folder, or by as much of the path as tells them apart.

    Raises UserError if a folder holds no run, or its metrics cannot be read.
    """
    records = [RecordedRun.read(path) for path in paths]
    return [
        ReportedRun(record.path, harmless_values(record.facts), index, harmless(label), record, record.flaws)
        for index, (label, record) in enumerate(zip(_labels(paths), records, strict=True))
    ]


def _labels(paths: Sequence[Path]) -> list[str]:
    whole = [Path(os.path.normpath(path.absolute())).parts for path in paths]
    lengths = range(1, max(map(len, whole)) + 1)
    ends = (["/".join(parts[-length:]) for parts in whole] for length in lengths)
    return next((labels for labels in ends if len(set(labels)) == len(set(whole))), ["/".join(p) for p in whole])
