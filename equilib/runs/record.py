"""Record of a run, as it is read from its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from equilib.arrays import Tree
from equilib.errors import UserError
from equilib.runs.arrays_file import DamagedArraysError, read_arrays
from equilib.runs.files import fill_tree
from equilib.runs.folder import MODEL, RUN
from equilib.runs.metrics import METRICS, read_metrics
from equilib.runs.request import RunRequest
from equilib.runs.spellings import modern, spec_of
from equilib.training.metric import ALL_EPOCHS, PROCESS, TEST, Metric
from equilib.training.metrics import score_name

_KINDS: dict[str, type] = {
    **dict.fromkeys(("request", "resolved", "options", "method", "results", "best", "optimizer"), dict),
    **dict.fromkeys(("versions", "kernels", "blas", "git"), dict),
    **dict.fromkeys((f"method.{part}" for part in ("solver", "adjoint", "integrator", "solve")), dict),
    **dict.fromkeys(("results.test", "results.status"), dict),
    **dict.fromkeys(("id", "experiment", "status", "error", "data_digest"), str),
    **dict.fromkeys(("argv", "resumed", "method.fallback"), list),
}
"""What the parts of `run.json` are, where they are there and not null."""


@dataclass(frozen=True)
class RecordedRun:
    """What `equilib run` left in a folder; `facts`, what `run.json` holds, with names and options as spelled today."""

    path: Path
    facts: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> RecordedRun:
        """Read `run.json`.

        Raises UserError if there is none, or it cannot be read.
        """
        try:
            facts = json.loads((path / RUN).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = f"{RUN}: {getattr(error, 'strerror', None) or error}"
            raise UserError(
                f"{path} holds no run that can be read ({reason}); give the folder of an earlier run"
            ) from error
        wrong = _flaw(facts)
        if wrong is None:
            try:
                return cls(path, modern(facts))
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                wrong = f"'method' cannot be read: {error}"
        raise UserError(f"{path / RUN} is not the record of a run ({wrong}); give the folder of an earlier run")

    def request(self, **changes: Any) -> RunRequest:
        """Return what the run was asked for, every option as it was resolved then, with `changes` that are not None.

        Raises UserError if it was recorded by another version of equilib.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        record = self.facts.get("resolved") or self.facts.get("request") or {}
        return RunRequest.from_record(record, **given)

    @cached_property
    def epochs(self) -> list[dict[str, Any]]:
        """What was recorded of each epoch when it was first asked for; a last line that was cut short is left out."""
        return read_metrics(self.path / METRICS)

    @property
    def results(self) -> dict[str, Any]:
        """What the run ended with; where it did not end, its last epoch."""
        return self.facts.get("results") or (self.epochs[-1] if self.epochs else {})

    @property
    def score_name(self) -> str | None:
        """What the score measures; None where nothing was tested."""
        return score_name(self.results)

    def value(self, metric: Metric) -> Any:
        """Return the value of a metric that stands for the run; None where it has none."""
        if metric.of == PROCESS:
            return self.facts.get(metric.name)
        if metric.of == ALL_EPOCHS:
            known = [value for epoch in self.epochs if (value := metric.value(epoch)) is not None]
            return sum(known) if known else None
        return metric.value(self.results, test=metric.of == TEST)

    def params(self, like: Tree) -> Tree:
        """Return the parameters in `model.npz` in the structure of `like`.

        Raises UserError if the file is missing, or holds another model's parameters.
        """
        path = self.path / MODEL
        try:
            return fill_tree(like, read_arrays(path), path)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(
                f"{path} cannot be read ({reason}); the run may have ended before it had a model: resume it"
            ) from error
        except DamagedArraysError as error:
            raise UserError(
                f"{path} cannot be read, as it {error}; put a copy in its place, or resume the run with more --epochs"
            ) from error

    def method(self) -> dict[str, Any]:
        """Return how it was solved as a `RunRequest` takes it; solver and adjoint are None where not recorded."""
        method = self.facts.get("method") or {}
        chosen = {part: spec_of(method[part]) if method.get(part) else None for part in ("solver", "adjoint")}
        fallback = tuple(spec_of(each) for each in method.get("fallback") or ())
        options = {name: str(value) for name, value in method.get("solve", {}).items()}
        return {**chosen, "fallback": fallback, "options": options}


def _flaw(facts: Any) -> str | None:
    """Return what of the content of `run.json` is not as `equilib run` writes it; None where nothing is."""
    if not isinstance(facts, dict):
        return "it holds no object"
    for path, kind in _KINDS.items():
        value: Any = facts
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None and not isinstance(value, kind):
            return f"{path!r} is {value!r:.40}"
    return None
