"""A run that a signal ends writes its checkpoint first, and no traceback, whenever the signal comes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from equilib.runs.checkpoints import checkpoint_paths
from tests.digits import write_digits
from tests.programs import command, environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")

ENDLESS = (
    "--limit",
    "30",
    "--pretrain-epochs",
    "0",
    "--epochs",
    "100000",
    "--device",
    "cpu",
    "--checkpoint-every",
    "0",
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with made-up digits."""
    return write_digits(tmp_path_factory.mktemp("data") / "digits")


def end(digits: Path, out: Path, *numbers: int) -> tuple[int, str, str]:
    """Send signals, a millisecond apart, to a run in its second epoch; return its status and what it printed."""
    argv = command("run", "mnist", "--data-dir", str(digits), *ENDLESS, "--out", str(out))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Compiled kernels are announced, where no run before has compiled them.
    plain = environment(EQUILIB_KERNELS="none")
    with subprocess.Popen(argv, env=plain, **pipes) as process:  # type: ignore[call-overload]
        limit = time.monotonic() + 60
        while not (out / "metrics.csv").exists() and time.monotonic() < limit:
            time.sleep(0.01)
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.001)
        printed, errors = process.communicate(timeout=60)
    return process.returncode, printed, errors


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_loses_nothing(digits: Path, tmp_path: Path, name: str) -> None:
    """A batch system's SIGTERM, or a terminal that closes: a checkpoint, one sentence, and 128 + n."""
    out = tmp_path / "run"
    status, printed, errors = end(digits, out, signal.Signals[name])
    assert (status, errors.strip()) == (128 + signal.Signals[name], f"error: ended by {name}")
    assert printed.endswith(f"Interrupted (ended by {name}); what was recorded until then is in {out}\n")
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert (record["status"], record["error"]) == ("interrupted", f"ended by {name}")
    assert len(checkpoint_paths(out)) == 1


def test_ctrl_c_twice_at_once_keeps_the_last_checkpoint(digits: Path, tmp_path: Path) -> None:
    """The second comes while the only checkpoint is written: checkpoint and model are there and whole."""
    status, _, errors = end(digits, tmp_path / "run", *3 * [signal.SIGINT])
    assert (status, errors.strip()) == (130, "")
    assert len(checkpoint_paths(tmp_path / "run")) == 1
    assert (tmp_path / "run" / "model.npz").exists()
    assert not list((tmp_path / "run").rglob("*.part"))


@pytest.mark.parametrize("seconds", [0.1, 0.4])
def test_ctrl_c_is_quiet_from_the_beginning(tmp_path: Path, seconds: float) -> None:
    """While libraries are imported it is no traceback either."""
    with subprocess.Popen(command("solvers"), env=environment(), stderr=subprocess.PIPE, text=True) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert errors.strip() == ""


LAST_OF_ALL = """
import os, signal, sys
import equilib_program

class Last:
    def __del__(self, end=os.kill, process=os.getpid(), number=signal.{name}):
        end(process, number)

last = Last()
sys.argv = ["equilib", "--version"]
sys.exit(equilib_program.main())
"""
"""The program, and a signal to itself while the interpreter takes its modules apart."""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_at_the_very_end_changes_nothing(name: str) -> None:
    """What is done when a signal comes has been done: its status is that of success."""
    program = [sys.executable, "-c", LAST_OF_ALL.format(name=name)]
    done = subprocess.run(program, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("equilib")
