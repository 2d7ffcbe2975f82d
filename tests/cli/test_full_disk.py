"""What the system refuses ends a run in one sentence, with its last checkpoint whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from equilib.runs.checkpoint_file import read_checkpoint
from equilib.runs.checkpoints import checkpoint_paths
from tests.digits import write_digits
from tests.programs import command, environment, equilib

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits and folders as POSIX has them")

QUICK = ("--limit=30", "--pretrain-epochs=0", "--epochs=2", "--device=cpu", "--quiet")
FULL = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
"""Code after which no file can be larger than a tenth of a checkpoint, as on a disk that is full."""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with made-up digits."""
    return write_digits(tmp_path_factory.mktemp("data") / "digits")


def test_a_full_disk_costs_nothing_but_what_it_has_no_place_for(digits: Path, tmp_path: Path) -> None:
    """Trained on where there is no place, a run fails in one sentence; its checkpoints are whole, and it goes on."""
    run = ("run", "mnist", "--data-dir", str(digits), *QUICK, "--out", "run")
    assert equilib(*run, cwd=tmp_path).returncode == 0
    before = {path: path.read_bytes() for path in checkpoint_paths(tmp_path / "run")}
    full = equilib("resume", "run", "--epochs", "4", "--quiet", cwd=tmp_path, before=FULL)
    assert full.returncode == 1
    sentence = "error: run/checkpoints cannot be written: File too large; once it can be, equilib resume goes on\n"
    assert full.stderr == sentence
    assert {path: path.read_bytes() for path in checkpoint_paths(tmp_path / "run")} == before
    assert not list((tmp_path / "run").rglob("*.part"))
    assert json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["status"] == "failed"
    assert equilib("resume", "run", "--quiet", cwd=tmp_path).returncode == 0
    assert read_checkpoint(checkpoint_paths(tmp_path / "run")[-1]).header["progress"]["epochs_done"] == 4


def test_a_run_without_a_checkpoint_promises_no_resumption(digits: Path, tmp_path: Path) -> None:
    """Where the first checkpoint has no place, the sentence names what works then, and it does."""
    run = ("run", "mnist", "--data-dir", str(digits), *QUICK, "--out", "run")
    full = equilib(*run, cwd=tmp_path, before=FULL)
    advice = "train anew with --overwrite: the run has no checkpoint yet to go on from"
    assert full.stderr == f"error: run/checkpoints cannot be written: File too large; once it can be, {advice}\n"
    assert equilib("resume", "run", cwd=tmp_path).returncode == 2
    assert equilib(*run, "--overwrite", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    "remove", [lambda run: run.rename(run.with_name("elsewhere")), shutil.rmtree], ids=["moved", "removed"]
)
def test_a_folder_that_vanishes_ends_the_run(digits: Path, tmp_path: Path, remove: Callable[[Path], object]) -> None:
    """Moved or removed while it trains, a run says so in one sentence, and promises nothing where it was."""
    argv = ("run", "mnist", "--data-dir", str(digits), *QUICK[:2], "--epochs=100000", "--device=cpu", "--out", "run")
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command(*argv), cwd=tmp_path, env=environment(), **pipes) as process:  # type: ignore[call-overload]
        end = time.monotonic() + 60
        while len(checkpoint_paths(tmp_path / "run")) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        (tmp_path / "run").rename(tmp_path / "away")  # at once, as no removal is
        remove(tmp_path / "away")
        try:
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 1
    assert errors.startswith("error: run")
    assert errors.count("\n") == 1
    assert "where it was moved to, equilib resume goes on" in errors or "No such file or directory" in errors
    assert "once it can be, equilib resume" not in errors


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no file that is always full")
@pytest.mark.parametrize("argv", [("solvers",), ("run", "linear", "--epochs=1", "--out=run")], ids=["a list", "a run"])
def test_a_full_standard_output_is_named(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """What cannot be printed ends a command in one sentence, which says where it was to be printed."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(*argv), cwd=tmp_path, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "error: standard output: No space left on device\n")
