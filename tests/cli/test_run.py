"""`equilib run mnist` as a program: repeatable, interruptible, readable."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib_experiments.data.mnist import TRAIN
from tests.digits import write_digits
from tests.programs import command, environment, equilib
from tests.terminal import Screen, on_a_terminal

QUICK = ("--epochs", "1", "--pretrain-epochs", "1", "--limit", "60", "--device", "cpu")
ENDLESS = ("--epochs", "100000", "--pretrain-epochs", "1", "--limit", "30", "--device", "cpu")
FILES = {"run.json", "metrics.jsonl", "metrics.csv", "model.npz", "checkpoints"}

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals, terminals and named pipes as POSIX has them")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of made-up digits."""
    return write_digits(tmp_path_factory.mktemp("digits"))


def record(out: Path) -> dict[str, Any]:
    """Read run.json."""
    content = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def metrics(out: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl."""
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def without_times(epochs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop what no seed decides."""
    return [{key: value for key, value in each.items() if not key.endswith("seconds")} for each in epochs]


# Repeatable


def test_the_seed_decides_metrics_and_model_bit_by_bit(digits: Path, tmp_path: Path) -> None:
    """Two processes with one seed write the same metrics and the same model.npz; another seed writes others."""
    outs = [tmp_path / name for name in ("first", "again", "other")]
    for out, seed in zip(outs, ("4", "4", "5"), strict=True):
        argv = ("run", "mnist", "--data-dir", str(digits), *QUICK, "--seed", seed, "--out", str(out))
        done = equilib(*argv, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    first, again, other = ([json.dumps(each) for each in without_times(metrics(out))] for out in outs)
    assert first == again
    assert all(left != right for left, right in zip(first, other, strict=True))
    models = [(out / "model.npz").read_bytes() for out in outs]
    assert models[0] == models[1] != models[2]


def test_the_record_repeats_the_run(digits: Path, tmp_path: Path) -> None:
    """The recorded command line, typed again elsewhere, gives the recorded results."""
    argv = ("run", "mnist", "--data-dir", str(digits), *QUICK, "--epochs", "0", "--seed", "9", "--solver", "picard")
    assert equilib(*argv, "--out", "one", cwd=tmp_path).returncode == 0
    recorded = record(tmp_path / "one")
    assert recorded["argv"] == [*argv, "--out", "one"]
    assert (recorded["seed"], recorded["device"], recorded["status"]) == (9, "cpu", "finished")
    assert recorded["method"]["solver"]["name"] == "picard"
    again = [{"one": "two"}.get(word, word) for word in recorded["argv"]]
    assert equilib(*again, cwd=tmp_path).returncode == 0
    repeated = record(tmp_path / "two")
    assert without_times([repeated["results"]]) == without_times([recorded["results"]])
    assert {path.name for path in (tmp_path / "one").iterdir()} == FILES


def test_the_model_is_named_by_its_parts(digits: Path, tmp_path: Path) -> None:
    """model.npz loads without pickle, and its arrays are finite and named by their place in the network."""
    argv = ("run", "mnist", "--data-dir", str(digits), *QUICK, "--epochs", "0", "--out", "run")
    assert equilib(*argv, cwd=tmp_path).returncode == 0
    with np.load(tmp_path / "run" / "model.npz", allow_pickle=False) as model:
        assert {"deq/cell/inject/0/weight", "deq/cell/recur/0/weight", "deq/cell/after/0/weight"} <= set(model)
        assert {model[name].dtype for name in model} == {np.dtype(np.float32)}
        assert all(np.isfinite(model[name]).all() for name in model)


def test_where_it_is_piped_the_log_is_lines_with_times(digits: Path, tmp_path: Path) -> None:
    """Every line has its time, none a control character; the first batch of an epoch is shown as in the tutorial."""
    done = equilib("run", "mnist", "--data-dir", str(digits), *QUICK, "--out", "run", cwd=tmp_path)
    lines = done.stdout.splitlines()
    stamp = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\] "
    assert all(re.match(stamp, line) and line.isprintable() for line in lines)
    assert any(re.fullmatch(stamp + r"Epoch: \[1/1\] Batch: \[   1/   2\] Loss: \d\.\d{5}", line) for line in lines)
    assert re.fullmatch(stamp + r"Test accuracy: \d+\.\d{3}% of 12 images", lines[-2])
    assert lines[-1].endswith("] Run recorded in run")


# Interruptible


@contextmanager
def started(*argv: str, cwd: Path, before: str = "") -> Iterator[subprocess.Popen[str]]:
    """Start `equilib ...`, and see to it that it ends; `before` is code that runs first."""
    process = subprocess.Popen(
        command(*argv, before=before),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=cwd,
        env=environment(),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(condition: Any, seconds: float = 120) -> None:
    """Wait until `condition()` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come so far in time"
        time.sleep(0.02)


@posix
def test_ctrl_c_keeps_what_was_recorded(digits: Path, tmp_path: Path) -> None:
    """In the middle of training: status 130, no traceback, whole metrics, the model so far, a record that says so."""
    out = tmp_path / "run"
    argv = ("run", "mnist", "--data-dir", str(digits), *ENDLESS, "--out", str(out))
    with started(*argv, cwd=tmp_path) as process:
        wait_for(lambda: (out / "metrics.jsonl").exists() and len(metrics(out)) >= 2)
        process.send_signal(signal.SIGINT)
        text, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert errors.strip() == ""
    assert text.endswith(f"] Interrupted; what was recorded until then is in {out}\n")
    assert record(out)["status"] == "interrupted"
    assert [each["phase"] for each in metrics(out)][:2] == ["pretrain", "train"]
    assert {path.name for path in out.iterdir()} == FILES
    with np.load(out / "model.npz", allow_pickle=False) as model:
        assert all(np.isfinite(model[name]).all() for name in model)


SLOW = f"""
import pathlib, sys, time

def slow(event, arguments):
    if event == "open" and str(arguments[0]).endswith({TRAIN[0]!r}):
        pathlib.Path("reading").touch()
        time.sleep(300)

sys.addaudithook(slow)
"""
"""Code that makes it take long to open the first file of the data."""


@posix
def test_ctrl_c_while_data_is_read_leaves_nothing(digits: Path, tmp_path: Path) -> None:
    """Before the run began there is nothing to keep: status 130, no traceback, no folder."""
    argv = ("run", "mnist", "--data-dir", str(digits), *QUICK, "--out", "run")
    with started(*argv, cwd=tmp_path, before=SLOW) as process:
        wait_for((tmp_path / "reading").exists)
        process.send_signal(signal.SIGINT)
        text, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert (text, errors.strip()) == ("", "")
    assert not (tmp_path / "run").exists()


@posix
def test_a_reader_that_goes_away_ends_the_run_quietly(digits: Path, tmp_path: Path) -> None:
    """`equilib run ... | head -1`: no traceback, and the record says that the run failed."""
    argv = ("run", "mnist", "--data-dir", str(digits), *ENDLESS, "--out", "run")
    with started(*argv, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "Data: " in process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(timeout=300) == 1
    assert errors == ""
    assert record(tmp_path / "run")["status"] == "failed"


def test_a_run_that_fails_says_why(digits: Path, tmp_path: Path) -> None:
    """A solve that was told to raise: status 1, the reason on stderr and in the record, what there was is kept."""
    argv = ("--solver", "picard:max_steps=1,rtol=1e-9,on_failure=raise", "--out", "run")
    done = equilib("run", "mnist", "--data-dir", str(digits), *QUICK, *argv, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: Picard(damping=0.0) left 32 of 32 samples unconverged: ")
    assert done.stderr.count("\n") == 1
    failed = record(tmp_path / "run")
    assert failed["status"] == "failed"
    assert f"error: {failed['error']}\n" == done.stderr
    assert [each["phase"] for each in metrics(tmp_path / "run")] == ["pretrain"]
    assert (tmp_path / "run" / "model.npz").exists()


# On a terminal


@posix
def test_on_a_terminal_only_the_lines_stay(digits: Path, tmp_path: Path) -> None:
    """The bar comes and goes; at the end the screen holds one line per event and the cursor."""
    argv = command("run", "mnist", "--data-dir", str(digits), *QUICK, "--out", "run")
    status, output = on_a_terminal(argv, cwd=tmp_path)
    screen = Screen(output)
    assert status == 0
    assert "━" in output
    assert "━" not in "".join(screen.rows)
    assert screen.cursor_visible
    times = [line for line in screen.lines if re.match(r"\[\d\d:\d\d:\d\d\] ", line)]
    about = ("Data: ", "Using ", "Model: ", "Solver: ", "Adjoint: ", "BLAS: ")
    starts = (*about, "Pretraining: [1/1] Loss", "Epoch: [1/1] Loss")
    for line, start in zip(times, (*starts, "Test accuracy: ", "Run recorded in run"), strict=True):
        assert line[11:].startswith(start)


@posix
def test_ctrl_c_on_a_terminal_leaves_no_bar(digits: Path, tmp_path: Path) -> None:
    """The key itself, pressed while the bar moves: status 130, no bar, the cursor back, a last line that says it."""
    argv = command("run", "mnist", "--data-dir", str(digits), *ENDLESS, "--out", "run")
    status, output = on_a_terminal(argv, cwd=tmp_path, press_when=lambda shown: "Epoch: [2/" in shown)
    screen = Screen(output)
    assert status == 130
    assert "━" not in "".join(screen.rows)
    assert screen.cursor_visible
    assert "Traceback" not in output
    assert screen.lines[-1].endswith("Interrupted; what was recorded until then is in run")
    assert record(tmp_path / "run")["status"] == "interrupted"
