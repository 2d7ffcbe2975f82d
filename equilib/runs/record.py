"""Record of a run, as it is read from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from equilib.arrays import Tree
from equilib.errors import UserError, said
from equilib.kernels import AUTO, NONE, UnknownKernels, require_choice, using_kernels
from equilib.machine.environment import kernels_in_use, package_versions
from equilib.machine.memory import require_file
from equilib.runs.arrays_file import DamagedArraysError, read_arrays
from equilib.runs.checkpoint_file import KNOWN
from equilib.runs.files import fill_tree, read_json
from equilib.runs.folder import MODEL, RUN
from equilib.runs.metrics import METRICS, read_lines
from equilib.runs.request import RunRequest
from equilib.runs.schemas import flaw_of_record
from equilib.runs.spellings import modern, spec_of
from equilib.training.metric import ALL_EPOCHS, PROCESS, TEST, Metric
from equilib.training.metrics import score_name


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
            require_file(path / RUN)
            facts = read_json((path / RUN).read_bytes())
        except (OSError, ValueError) as error:
            reason = f"{RUN}: {getattr(error, 'strerror', None) or error}"
            raise UserError(
                f"{path} holds no run that can be read ({reason}); give the folder of an earlier run"
            ) from error
        wrong = flaw_of_record(facts)
        if wrong is None:
            try:
                return cls(path, modern(facts))
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                wrong = f"'method' cannot be read: {error}"
        raise UserError(f"{path / RUN} is not the record of a run ({wrong}); give the folder of an earlier run")

    @classmethod
    def of_checkpoint(cls, path: Path, header: Mapping[str, Any]) -> RecordedRun:
        """Return what the header of a checkpoint knows of the run in a folder whose `run.json` is damaged."""
        known = {name: header[name] for name in KNOWN if name in header}
        own = {"id": header["run"], "format": header.get("record_format"), "status": "running"}
        return cls(path, modern({**own, "experiment": header["request"].get("experiment"), **known}))

    def request(self, **changes: Any) -> RunRequest:
        """Return what the run was asked for, every option as it was resolved then, with `changes` that are not None.

        Raises UserError if it was recorded by another version of equilib.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        record = self.facts.get("resolved") or self.facts.get("request") or {}
        return RunRequest.from_record(record, **given)

    def request_here(self, **changes: Any) -> RunRequest:
        """Return what to carry out here; as `request`, but kernels that the run had and that are not here are refused.

        Raises UserError as `request` does, and where they are not.
        """
        request = self.request(**changes)
        if request.kernels is not None and changes.get("kernels") is None:
            try:
                require_choice(request.kernels)
            except UserError as error:
                raise UserError(self._without_kernels(request.kernels, error)) from error
        return request

    def _without_kernels(self, spec: str, error: UserError) -> str:
        name = spec.partition(":")[0]
        known = self.facts.get("kernels") or {}
        package = str(known.get(name) or known.get(name.partition("@")[0], ""))
        why = f": {said(error).removesuffix('.')}"
        if isinstance(error, UnknownKernels) and package:
            distribution = package.partition(" ")[0]
            here = package_versions([distribution]).get(distribution)
            why = f", which is {here} here and has none such: see 'equilib plugins'" if here else ", not installed here"
        with using_kernels(AUTO):
            others = [each for each in kernels_in_use() if each != name]
        words = " or ".join(f"--kernels {each}" for each in (NONE, *others))
        owner = f" of the package {package}" if package else ""
        return (
            f"the run in {self.path} used the kernels {spec!r}{owner}{why}; install it, or go on with {words}, which "
            "is the same but for rounding"
        )

    @cached_property
    def epochs(self) -> list[dict[str, Any]]:
        """What was recorded of each epoch when it was first asked for, {} where that is damaged."""
        return self._lines[0]

    @property
    def flaws(self) -> list[str]:
        """A sentence for each line of the metrics that is damaged."""
        return self._lines[1]

    @cached_property
    def _lines(self) -> tuple[list[dict[str, Any]], list[str]]:
        return read_lines(self.path / METRICS)

    @property
    def results(self) -> dict[str, Any]:
        """What the run ended with; where it did not end, its last epoch."""
        return self.facts.get("results") or next((each for each in reversed(self.epochs) if each), {})

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
        options = {name: str(value) for name, value in (method.get("solve") or {}).items()}
        return {**chosen, "fallback": fallback, "options": options}
