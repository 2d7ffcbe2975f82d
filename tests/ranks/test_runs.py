"""Runs on a real MPI: one record, another number of ranks for the rest, and one sentence where a rank fails."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.programs import EQUILIB, environment, equilib
from tests.ranks.launching import MPIEXEC, command, launch, require_mpi

RUN = ("run", "linear", "--epochs")
TIMES = ("seconds", "test_seconds")


@pytest.fixture(autouse=True)
def mpi() -> None:
    """Skip all where there is no MPI."""
    require_mpi()


def test_a_run_goes_on_with_another_number_of_ranks(tmp_path: Path) -> None:
    """Four ranks, then two, or one process: there is one record, which says so, and ends with the bits of four."""
    run = tmp_path / "run"
    whole = ("polynomial", "--epochs", "2", "--batch-size", "30", "--shares", "4", "--quiet", "--out", run)
    first = launch(4, "-c", EQUILIB, "run", *whole)
    assert (first.returncode, first.stdout.count("Run recorded")) == (0, 1)
    found, half = content(run), min(path.name for path in (run / "checkpoints").iterdir())
    rest = ("resume", str(run), "--from", half, "--epochs", "2")
    second = launch(2, "-c", EQUILIB, *rest)
    assert "Note: ranks was 4, is 2: the bits are those of --shares 4\n" in second.stdout
    assert "may differ" not in second.stdout
    assert content(run) == found
    third = equilib(*rest, cwd=tmp_path, OPENBLAS_NUM_THREADS="1")
    assert "Note: ranks was 2, is 1: the bits are those of --shares 4\n" in third.stdout
    assert content(run) == found
    facts = json.loads((run / "run.json").read_text())
    assert (facts["status"], facts["ranks"]) == ("finished", None)


def test_a_rank_that_is_killed_is_named(tmp_path: Path) -> None:
    """All end at once, one sentence says which was killed, and the run can be resumed."""
    program = command(2, "-c", EQUILIB, *RUN, "2000", "--out", tmp_path / "run")
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(OPENBLAS_NUM_THREADS="1")
    ) as launched:
        assert launched.stdout is not None
        while "Epoch: [2/" not in launched.stdout.readline():
            pass
        time.sleep(3)  # a beat of the ranks, one a second, says how to go on
        victim = ranks_of(launched.pid)[1]
        start = time.monotonic()
        victim_died = subprocess.run(["kill", f"-{signal.SIGKILL}", str(victim)], check=True).returncode == 0
        _, errors = launched.communicate(timeout=60)
    assert victim_died
    assert time.monotonic() - start < 30
    assert errors.count("error: ") == 1
    assert f"error: rank 1 of 2 (process {victim} on " in errors
    assert "equilib resume" in errors
    assert launched.returncode != 0
    status = json.loads((tmp_path / "run" / "run.json").read_text())["status"]
    assert status == "running"


def content(run: Path) -> tuple[bytes, list[dict[str, object]]]:
    """Return the model of a run and its metrics, but for times."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    epochs = [{name: value for name, value in json.loads(line).items() if name not in TIMES} for line in lines]
    return (run / "model.npz").read_bytes(), epochs


def ranks_of(launcher: int) -> list[int]:
    """Return the processes that mpiexec's proxy started, in their order."""
    (proxy,) = children(launcher)
    return children(proxy)


def children(parent: int) -> list[int]:
    """Return the child processes of a process."""
    found = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=True)
    return sorted(map(int, found.stdout.split()))


def test_ranks_that_are_asked_for_different_things_are_refused(tmp_path: Path) -> None:
    """Before anything is written it is said which rank differs, and how."""
    one, other = ([sys.executable, "-c", EQUILIB, *RUN, epochs, "--out", "run"] for epochs in ("1", "2"))
    done = subprocess.run(
        [str(MPIEXEC), "-n", "1", *one, ":", "-n", "1", *other],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=environment(OPENBLAS_NUM_THREADS="1"),
    )
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1
    assert "error: rank 1, on " in done.stderr
    assert "has the command" in done.stderr
    assert not (tmp_path / "run").exists()
