"""The files of a run appear whole or not at all, and only ours are replaced."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from equilib.errors import RunError, UserError
from equilib.runs import folder as run_directory
from equilib.runs.checkpoints import Checkpoints
from equilib.runs.folder import RunDirectory, check_out, default_out
from equilib.training.snapshot import Snapshot

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
PARAMS = {"deq": {"cell": [{"weight": np.arange(6.0).reshape(2, 3)}, {"bias": np.ones(3, np.float32)}]}}


def read(path: Path) -> dict[str, object]:
    """Read run.json."""
    content = json.loads((path / "run.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


# What is written


def test_a_run_begins_as_running_and_ends_as_it_ended(tmp_path: Path) -> None:
    """run.json holds the facts from the start, and at the end the status, the results and both times."""
    directory = RunDirectory(tmp_path / "a" / "run", {"seed": 3, "argv": ["run", "mnist"]})
    begun = read(directory.path)
    assert begun["status"] == directory.status == "running"
    assert (begun["seed"], begun["argv"]) == (3, ["run", "mnist"])
    directory.finish("finished", {"test_accuracy": 0.5})
    ended = read(directory.path)
    assert ended["status"] == directory.status == "finished"
    assert ended["results"] == {"test_accuracy": 0.5}
    assert datetime.fromisoformat(str(ended["started"])) <= datetime.fromisoformat(str(ended["ended"]))


def test_metrics_are_one_line_each(tmp_path: Path) -> None:
    """metrics.jsonl grows by one JSON object per epoch, in order."""
    directory = RunDirectory(tmp_path, {})
    for epoch in range(3):
        directory.add_metrics({"epoch": epoch, "status": {"converged": 4}})
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"epoch": n, "status": {"converged": 4}} for n in range(3)]


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    """Nan and the infinities are null, NumPy's numbers are numbers, other objects their text."""
    directory = RunDirectory(tmp_path, {"path": tmp_path, "flag": True})
    directory.add_metrics({"a": float("nan"), "b": [np.float32("inf"), 1.5], "c": np.int64(2), "d": {1: None}})
    line = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    assert line == '{"a": null, "b": [null, 1.5], "c": 2, "d": {"1": null}}\n'
    assert read(tmp_path)["path"] == str(tmp_path)
    assert read(tmp_path)["flag"] is True


def test_the_model_is_readable_without_pickle(tmp_path: Path) -> None:
    """model.npz holds one array per parameter under its path, bit by bit, and no object."""
    RunDirectory(tmp_path, {}).save_model(PARAMS)
    with np.load(tmp_path / "model.npz", allow_pickle=False) as model:
        assert list(model) == ["deq/cell/0/weight", "deq/cell/1/bias"]
        np.testing.assert_array_equal(model["deq/cell/0/weight"], PARAMS["deq"]["cell"][0]["weight"])
        assert model["deq/cell/1/bias"].dtype == np.float32


def test_equal_parameters_make_equal_files(tmp_path: Path) -> None:
    """The bytes of model.npz depend on the parameters only, not on the time."""
    for name in "ab":
        RunDirectory(tmp_path / name, {}).save_model(PARAMS)
    assert (tmp_path / "a" / "model.npz").read_bytes() == (tmp_path / "b" / "model.npz").read_bytes()


# What is replaced


def test_a_new_run_replaces_its_three_files_and_no_other(tmp_path: Path) -> None:
    """Of an earlier run nothing stays; what is not ours stays."""
    old = RunDirectory(tmp_path, {"seed": 1})
    old.add_metrics({"epoch": 1})
    old.save_model(PARAMS)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "sub").mkdir()
    RunDirectory(tmp_path, {"seed": 2})
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "notes.txt", "sub"}
    assert read(tmp_path)["seed"] == 2
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=["ctrl-c", "full"])
@pytest.mark.parametrize("before", [True, False], ids=["replacing", "new"])
def test_a_model_is_never_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, before: bool
) -> None:
    """If writing breaks off, the old model is intact or there is none, and no scrap is left."""
    directory = RunDirectory(tmp_path, {})
    if before:
        directory.save_model(PARAMS)
    content = (tmp_path / "model.npz").read_bytes() if before else None

    def broken(file: object, *array: object, **how: object) -> None:
        file.write(b"PK half a file")  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(np.lib.format, "write_array", broken)
    with pytest.raises((KeyboardInterrupt, RunError)) as caught:
        directory.save_model(PARAMS)
    if isinstance(error, OSError):
        text = f"{tmp_path / 'model.npz'} cannot be written: No space left on device"
        assert str(caught.value) == f"{text}; once it can be, equilib resume goes on"
    assert {path.name for path in tmp_path.iterdir()} == {"run.json"} | ({"model.npz"} if before else set())
    assert content == ((tmp_path / "model.npz").read_bytes() if before else None)


def test_a_folder_that_vanishes_is_a_failure_of_the_run(tmp_path: Path) -> None:
    """Metrics, model and the end of a run whose folder is gone are errors that promise nothing where it was."""
    directory = RunDirectory(tmp_path / "run", {})
    (tmp_path / "run" / "run.json").unlink()
    (tmp_path / "run").rmdir()
    writes: tuple[Callable[[], None], ...] = (
        lambda: directory.add_metrics({}),
        lambda: directory.save_model(PARAMS),
        lambda: directory.finish("finished"),
    )
    for write in writes:
        with pytest.raises(
            RunError, match=r"run is gone: it was moved away or removed, .*; where it was moved to, equi"
        ):
            write()
        assert not directory.path.exists()


# Where it may be written


def test_the_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Of lines and table the one that the system refuses."""
    directory = RunDirectory(tmp_path, {})
    (tmp_path / "metrics.csv").mkdir()
    with pytest.raises(RunError, match=r"metrics\.csv cannot be written: Is a directory"):
        directory.add_metrics({"epoch": 1})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("name", ["metrics.jsonl", "metrics.csv"])
@pytest.mark.parametrize("is_read", [False, True], ids=["that nobody reads", "that is read"])
def test_a_pipe_in_the_place_of_metrics_is_not_waited_for(tmp_path: Path, name: str, *, is_read: bool) -> None:
    """Nobody may ever read it, and what is written into it is lost: the run fails, and names it."""
    directory = RunDirectory(tmp_path, {})
    os.mkfifo(tmp_path / name)
    reader = os.open(tmp_path / name, os.O_RDONLY | os.O_NONBLOCK) if is_read else None
    try:
        with pytest.raises(RunError, match=rf"{re.escape(name)} cannot be written: "):
            directory.add_metrics({"epoch": 1})
    finally:
        if reader is not None:
            os.close(reader)


@pytest.mark.parametrize(
    "write",
    [
        lambda run: run.add_metrics({"loss": 1.0}),
        lambda run: run.save_model(PARAMS),
        lambda run: run.finish("finished"),
    ],
    ids=["metrics", "model", "record"],
)
def test_nothing_is_written_into_another_folder_in_its_place(
    tmp_path: Path, write: Callable[[RunDirectory], None]
) -> None:
    """A run whose folder was moved away ends where another has its name, which stays as it was."""
    directory = RunDirectory(tmp_path / "run", {})
    assert directory.is_there
    directory.path.rename(tmp_path / "moved")
    directory.path.mkdir()
    (directory.path / "precious").write_text("mine")
    with pytest.raises(RunError, match=r"run is another folder than the run began in, .* equilib resume goes on"):
        write(directory)
    assert not directory.is_there
    assert [each.name for each in directory.path.iterdir()] == ["precious"]
    assert read(tmp_path / "moved")["status"] == "running"


def test_checkpoints_are_not_written_through_a_link(tmp_path: Path) -> None:
    """Put in the place of their folder while the run is at work, it is not followed, and nothing behind it removed."""
    written = Checkpoints(tmp_path, {})
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / "checkpoint-00000001.npz"
    other.write_text("mine")
    (tmp_path / "checkpoints").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="checkpoints is a link, which is not followed"):
        written.write(Snapshot(params={}, optimizer={}, progress={"step": 2}, order=np.arange(3)))
    assert list((tmp_path / "elsewhere").iterdir()) == [other]


def test_an_empty_or_missing_folder_is_accepted_and_left_alone(tmp_path: Path) -> None:
    """The check creates nothing."""
    check_out(tmp_path, overwrite=False)
    check_out(tmp_path / "a" / "b", overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_needs_overwrite(tmp_path: Path) -> None:
    """It is refused with the way out, and accepted with --overwrite."""
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=f"^--out {tmp_path} is not empty; give another folder, or --overwrite to"):
        check_out(tmp_path, overwrite=False)
    check_out(tmp_path, overwrite=True)


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_file_is_no_folder(tmp_path: Path, overwrite: bool) -> None:
    """Neither a file nor a place below one is accepted."""
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UserError, match=f"^--out {file} is a file; give a folder$"):
        check_out(file, overwrite=overwrite)
    with pytest.raises(UserError, match=f"^--out {file}/a/b cannot be created: {file} is a file; give another folder$"):
        check_out(file / "a" / "b", overwrite=overwrite)
    assert file.read_text() == "mine"


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """What the file system says is passed on as a mistake of the request."""
    with pytest.raises(UserError, match="cannot be used: File name too long"):
        check_out(tmp_path / ("a" * 300), overwrite=False)


@contextmanager
def nobody() -> Iterator[None]:
    """Have the rights of an ordinary user, whom permissions bind."""
    if ROOT:
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        yield


def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    """A folder that cannot be entered or listed is a mistake of the request, not a traceback."""
    (tmp_path / "locked" / "run").mkdir(parents=True)
    (tmp_path / "locked").chmod(0)
    try:
        with nobody():
            for path in (tmp_path / "locked", tmp_path / "locked" / "run", tmp_path / "locked" / "new"):
                with pytest.raises(UserError, match=rf"^--out {path} cannot be used: Permission denied$"):
                    check_out(path, overwrite=False)
    finally:
        (tmp_path / "locked").chmod(0o700)


@pytest.mark.skipif(ROOT, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    """A folder that can be listed but not written is named."""
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UserError, match=f"cannot be written: no permission to write in {tmp_path}; give another"):
            check_out(tmp_path / "run", overwrite=False)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_file_system_that_refuses_is_named() -> None:
    """Where even root may not write, opening the run is the error."""
    with pytest.raises(UserError, match=r"^--out /proc/equilib-run cannot be written: "):
        RunDirectory(Path("/proc/equilib-run"), {})


def test_the_default_folder_is_new_and_named_after_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of one second get folders of their own."""
    monkeypatch.chdir(tmp_path)

    class Clock(datetime):
        """Ten past noon, always."""

        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            """Return it."""
            return datetime(2024, 9, 10, 12, 10, 0)

    monkeypatch.setattr(run_directory, "datetime", Clock)
    names = []
    for _ in range(3):
        path = default_out("mnist")
        path.mkdir(parents=True)
        names.append(str(path))
    assert names == [f"runs/mnist-20240910-121000{suffix}" for suffix in ("", "-2", "-3")]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.parametrize("name", ["checkpoints", "tensorboard"])
def test_a_link_in_place_of_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    """Neither a new run nor one that goes on writes, or removes, where it leads to."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "checkpoint-00000001.npz").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "theirs")
    for epochs in (None, 1):
        with pytest.raises(UserError, match=f"{name} is a link, which is not followed"):
            RunDirectory(tmp_path / "run", {}, epochs=epochs)
    assert list((tmp_path / "theirs").iterdir())
