"""`kill -9` at any moment, again and again: the resumed run ends as if nothing had happened."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.digits import write_digits
from tests.programs import command, environment, equilib

KILLS = 12  # every other one while it trains
# A checkpoint every 0.12 seconds, so that many are written in the middle of an epoch.
OFTEN = ("--checkpoint-minutes", "0.002")
RUN = ("--limit", "100", "--pretrain-epochs", "1", "--epochs", "3", "--batch-size", "8", "--device", "cpu", *OFTEN)
# The order of sums, and with it the last bits, depends on the number of threads.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


def metrics(run: Path) -> list[dict[str, Any]]:
    """Read what no clock decides of metrics.jsonl."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in line.items() if not name.endswith("seconds")} for line in lines]


def arrays(run: Path) -> dict[str, np.ndarray]:
    """Read model.npz."""
    with np.load(run / "model.npz", allow_pickle=False) as model:
        return dict(model)


def checkpoints(run: Path) -> set[str]:
    """Return the names of the checkpoints, also of those that are being written."""
    return {path.name for path in (run / "checkpoints").glob("*")}


def live(run: Path, data: Path, seconds: float, *, in_training: bool = False) -> bool:
    """Begin the run, or go on with it, and kill the process after a while; tell whether it was killed.

    The while begins with the process, or `in_training` with the first checkpoint that it writes: how long a process
    takes to start is the machine's affair.
    """
    begun = (run / "run.json").exists()
    if begun and json.loads((run / "run.json").read_text(encoding="utf-8"))["status"] == "finished":
        return False  # the last kill came when all was written
    argv = ("resume", str(run)) if begun else ("run", "mnist", "--data-dir", str(data), "--out", str(run), *RUN)
    again = () if begun else ("--overwrite",)
    before = checkpoints(run)
    process = subprocess.Popen(
        command(*argv, *again),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**ONE_THREAD),
    )
    with process:
        while in_training and process.poll() is None and checkpoints(run) <= before:
            time.sleep(0.002)
        try:
            _, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            _, errors = process.communicate()
    assert errors == ""
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


@pytest.mark.slow
def test_a_run_survives_being_killed(tmp_path: Path) -> None:
    """Killed twelve times at random moments and resumed: parameters and metrics are those of an uninterrupted run."""
    data, whole = write_digits(tmp_path / "digits"), tmp_path / "whole"
    done = equilib("run", "mnist", "--data-dir", str(data), "--out", str(whole), *RUN, cwd=tmp_path, **ONE_THREAD)
    assert (done.returncode, done.stderr) == (0, "")
    moments = random.Random(4)
    kills = runs = 0
    while kills < KILLS:
        run = tmp_path / f"killed-{runs}"
        while kills < KILLS:
            training = kills % 2 == 1
            if not live(run, data, moments.uniform(0.0, 0.25 if training else 1.0), in_training=training):
                break
            kills += 1
        else:
            live(run, data, 300)
        runs += 1
        left, right = arrays(whole), arrays(run)
        assert left.keys() == right.keys()
        for name, array in left.items():
            np.testing.assert_array_equal(right[name], array, strict=True, err_msg=name)
        assert metrics(run) == metrics(whole)
        record = json.loads((run / "run.json").read_text(encoding="utf-8"))
        assert record["status"] == "finished"
        assert not list(run.rglob("*.part"))
