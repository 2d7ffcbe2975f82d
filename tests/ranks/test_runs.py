"""Runs on a real MPI: one record, another number of ranks for the rest, and one sentence where a rank fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.programs import EQUILIB, environment, equilib
from tests.ranks.launching import command, launch, mpiexec, require_mpi

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
    with training("--out", tmp_path / "run") as program:
        time.sleep(3)  # a beat of the ranks, one a second, says how to go on
        victim = ranks_of(program.pid)[1]
        start = time.monotonic()
        victim_died = subprocess.run(["kill", f"-{signal.SIGKILL}", str(victim)], check=True).returncode == 0
        _, errors = program.communicate(timeout=60)
    assert victim_died
    assert time.monotonic() - start < 30
    assert errors.count("error: ") == 1
    assert f"error: rank 1 of 2 (process {victim} on " in errors
    assert "equilib resume" in errors
    assert program.returncode != 0
    status = json.loads((tmp_path / "run" / "run.json").read_text())["status"]
    assert status == "running"


def test_a_signal_to_one_rank_ends_all(tmp_path: Path) -> None:
    """What MPI's libraries do with SIGHUP is undone: it leaves a checkpoint, and the rank is named."""
    with training("--checkpoint-every", "0", "--out", tmp_path / "run") as program:
        os.kill(ranks_of(program.pid)[1], signal.SIGHUP)
        _, errors = program.communicate(timeout=60)
    assert program.returncode == 128 + signal.SIGHUP
    assert "error: rank 1 of 2" in errors
    assert errors.endswith("ended by SIGHUP\n")
    assert list((tmp_path / "run" / "checkpoints").iterdir())


def test_the_environment_of_the_first_rank_says_who_is_watched(tmp_path: Path) -> None:
    """Ranks whose environments differ, as on hosts that set their own, are watched as the first one's says."""
    for first, second, said in (("7", "0", ""), ("0", "7", ""), ("1", "0", "EQUILIB_RANK_PATIENCE expects 5 seconds")):
        given = {"EQUILIB_RANK_PATIENCE": first}, {"EQUILIB_RANK_PATIENCE": second}
        done = launch_each((*RUN, "1", "--out", first), given, tmp_path)
        assert (done.returncode, done.stderr.count("error: ")) == ((2, 1) if said else (0, 0))
        assert said in done.stderr


def test_ranks_with_other_kernels_are_refused(tmp_path: Path) -> None:
    """A run, and its evaluation, are refused where the environment of some rank chooses other kernels."""
    run = (*RUN, "1", "--quiet", "--out", "run")
    assert equilib(*run, cwd=tmp_path).returncode == 0
    for work in ((*run, "--overwrite"), ("evaluate", "run")):
        done = launch_each(work, ({"EQUILIB_KERNELS": "auto"}, {"EQUILIB_KERNELS": "none"}), tmp_path)
        assert (done.returncode, done.stderr.count("error: ")) == (2, 1)
        assert "has kernels 'none'" in done.stderr


def test_an_evaluation_is_of_the_model_that_the_first_rank_reads(tmp_path: Path) -> None:
    """Other ranks may see an older state of the folder, or another run by this name: what is told is of one model."""
    for folder, epochs in (("one", "1"), ("other", "0")):
        out = tmp_path / folder / "run"
        done = equilib("run", "table", "--epochs", epochs, "--quiet", "--out", str(out), cwd=tmp_path)
        assert done.returncode == 0
    work = [sys.executable, "-c", EQUILIB, "evaluate", "run", "--json"]
    found = mpiexec(["-n", "1", "-wdir", "one", *work, ":", "-n", "1", "-wdir", "other", *work], tmp_path)
    told = json.loads(found.stdout)
    assert told["recorded"] == told["score"]


@contextmanager
def training(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Begin a long run by two ranks with these arguments, which trains when this goes on."""
    work = command(2, "-c", EQUILIB, *RUN, "2000", *arguments)
    given = environment(OPENBLAS_NUM_THREADS="1")
    with subprocess.Popen(work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=given) as program:
        assert program.stdout is not None
        while "Epoch: [2/" not in program.stdout.readline():
            pass
        yield program


def launch_each(
    work: Sequence[str], environments: Sequence[Mapping[str, str]], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Carry out one command by a rank in each of these environments."""
    parts: list[str] = []
    for each in environments:
        changes = [f"{name}={value}" for name, value in each.items()]
        parts += [":", "-n", "1", "env", *changes, sys.executable, "-c", EQUILIB, *work]
    return mpiexec(parts[1:], folder)


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
    """Before anything is written it is said which rank differs, and how, though the command be long."""
    work = (sys.executable, "-c", EQUILIB, "run", "linear", "--out", "x/" * 70 + "run", "--epochs")
    one, other = ([*work, epochs] for epochs in ("1", "2"))
    done = mpiexec(["-n", "1", *one, ":", "-n", "1", *other], tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1
    assert "error: rank 1, on " in done.stderr
    assert "has the command" in done.stderr
    assert "--epochs 1'" in done.stderr
    assert "--epochs 2'" in done.stderr
    assert not (tmp_path / "x").exists()
