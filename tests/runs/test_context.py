"""The record of a run, opened and closed by its context whatever way the run ends."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from equilib.errors import RunError
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.reporters import LineReporter
from equilib.runs.request import RunRequest


def context_in(out: Path, **request: Any) -> RunContext:
    """Return the context of a run that is recorded in `out`."""
    asked = RunRequest(experiment="study", device="cpu", **request)
    return RunContext(request=asked, registry=Registry(), reporter=LineReporter(io.StringIO()), out=out)


def record(out: Path) -> dict[str, Any]:
    """Return what run.json says."""
    found: dict[str, Any] = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return found


def test_random_numbers_depend_on_the_seed() -> None:
    """Two generators of a run are equal; other streams and runs of other seeds have others."""
    drawn = [list(context_in(Path(), seed=seed).rng(stream).random(3)) for seed in (0, 1) for stream in (0, 0, 1, 1)]
    assert drawn[0] == drawn[1]
    assert drawn[2] == drawn[3]
    assert len({tuple(each) for each in drawn}) == 4


def test_a_run_that_ends_is_finished(tmp_path: Path) -> None:
    """It need not say so; one that does keeps its results."""
    with context_in(tmp_path / "a").record():
        pass
    assert record(tmp_path / "a")["status"] == "finished"
    with context_in(tmp_path / "b").record() as directory:
        directory.finish("finished", {"accuracy": 0.9})
    assert record(tmp_path / "b")["results"] == {"accuracy": 0.9}


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (KeyboardInterrupt(), "interrupted", None),
        (RunError("the loss became nan"), "failed", "the loss became nan"),
        (ZeroDivisionError("a bug"), "failed", "a bug"),
        (AssertionError(), "failed", "AssertionError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_a_run_that_ends_early_says_how(tmp_path: Path, error: BaseException, status: str, text: str | None) -> None:
    """The record has the status and the error, a line says where it lies, and the error goes on."""
    context, said = context_in(tmp_path), io.StringIO()
    context.reporter = LineReporter(said)
    with pytest.raises(type(error)) as caught, context.record():
        raise error
    assert caught.value is error
    assert (record(tmp_path)["status"], record(tmp_path)["error"]) == (status, text)
    assert said.getvalue().endswith(f"] {status.capitalize()}; what was recorded until then is in {tmp_path}\n")


def test_an_end_that_cannot_be_recorded_does_not_hide_its_cause(tmp_path: Path) -> None:
    """Where the folder has gone, the error that ended the run is still the one that is raised."""
    cause, out = RunError("the disk is full"), tmp_path / "run"

    def run() -> None:
        with context_in(out).record():
            (out / "run.json").unlink()
            out.rmdir()
            raise cause

    with pytest.raises(RunError) as caught:
        run()
    assert caught.value is cause


def test_an_interruption_after_the_end_changes_nothing(tmp_path: Path) -> None:
    """A run that was finished stays finished."""

    def run() -> None:
        with context_in(tmp_path).record() as directory:
            directory.finish("finished", {"accuracy": 0.9})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert (record(tmp_path)["status"], record(tmp_path)["results"]) == ("finished", {"accuracy": 0.9})
