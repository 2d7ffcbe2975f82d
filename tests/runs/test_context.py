"""The record of a run, opened and closed by its context whatever way the run ends."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib.errors import RunError, UserError
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


@pytest.mark.parametrize("name", ["run.json", ".run.json.part"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RunError("the loss became nan")], ids=["interrupted", "failed"])
def test_a_record_that_keeps_the_wrong_status_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, error: BaseException
) -> None:
    """Where the end of a run cannot be written into its record, standard error says so in a line, beside its cause."""

    def run() -> None:
        with context_in(tmp_path).record():
            (tmp_path / name).unlink(missing_ok=True)
            (tmp_path / name / "folder").mkdir(parents=True)
            raise error

    with pytest.raises(type(error)) as caught:
        run()
    assert caught.value is error
    said = capsys.readouterr().err
    beginning = (
        f"warning: the record of the run still has the status running: {tmp_path / 'run.json'} cannot be written: "
    )
    assert said.startswith(beginning)
    assert said.endswith("; once it can be, equilib resume goes on\n")
    assert said.count("\n") == 1


def test_an_interruption_after_the_end_changes_nothing(tmp_path: Path) -> None:
    """A run that was finished stays finished."""

    def run() -> None:
        with context_in(tmp_path).record() as directory:
            directory.finish("finished", {"accuracy": 0.9})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert (record(tmp_path)["status"], record(tmp_path)["results"]) == ("finished", {"accuracy": 0.9})


def test_what_was_written_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """A folder that was empty when the command began, and is not when the data is read, is refused."""
    begun, late = context_in(tmp_path / "run"), context_in(tmp_path / "run")
    with begun.record() as directory:
        directory.save_model({"weight": np.ones(2)})
        with pytest.raises(UserError, match="another process is at work on the run in"), late.record():
            pytest.fail("two write into one folder")
    with pytest.raises(UserError, match="is not empty; give another folder, or --overwrite"), late.record():
        pytest.fail("a finished run is replaced")
    assert (tmp_path / "run" / "model.npz").exists()


def test_runs_of_one_second_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that found the same name free make two folders."""
    monkeypatch.chdir(tmp_path)
    contexts = [context_in(Path()) for _ in range(3)]
    with ExitStack() as stack:
        paths = {stack.enter_context(each.record()).path for each in contexts}
    assert len(paths) == 3
    assert all(record(path)["status"] == "finished" for path in paths)


def test_no_secret_of_the_environment_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only the environment says stays there."""
    monkeypatch.setenv("SOME_TOKEN", "hunter2-in-the-environment")
    with context_in(tmp_path / "run").record() as directory:
        directory.add_metrics({"epoch": 1})
    for path in (tmp_path / "run").rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no umask")
def test_the_umask_is_followed(tmp_path: Path) -> None:
    """Files and folders have the permissions that the user's other files have."""
    before = os.umask(0o027)
    try:
        with context_in(tmp_path / "run").record() as directory:
            directory.add_metrics({"epoch": 1})
            directory.save_model({"weight": np.ones(2)})
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "run", *(tmp_path / "run").iterdir())}
    assert modes == {"run": 0o750, **dict.fromkeys(("run.json", "metrics.jsonl", "metrics.csv", "model.npz"), 0o640)}
