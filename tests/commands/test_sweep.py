"""Programs of a sweep: several at a time, each for itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from equilib.commands import sweep
from equilib.commands.combinations import Combination
from equilib.commands.sweep import ProgramRun, run_all
from equilib.runs.request import RunRequest

MEETS = """
import os, pathlib, sys, time
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir()
print("[now] Epoch: [1/2] Batch: [   7/  50] Loss: 1.0", flush=True)
while len(list(out.parent.glob("*/"))) < 2:
    time.sleep(0.01)
print(os.environ.get("OMP_NUM_THREADS"), "PMI_RANK" in os.environ)
sys.exit(3 if out.name == "fails" else 0)
"""
"""A program that ends only when another one of its sweep has begun."""


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make that program the one that runs, on four cores, in a process that is a rank."""
    monkeypatch.setattr(sweep, "PROGRAM", (sys.executable, "-c", MEETS))
    monkeypatch.setattr("equilib.machine.process.available_cores", lambda: 4)
    monkeypatch.setenv("PMI_RANK", "1")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def combinations(*names: str) -> list[Combination]:
    """Return combinations of these names."""
    return [Combination(name=name, solver="picard", adjoint=None) for name in names]


@pytest.mark.usefixtures("meeting")
def test_as_many_run_at_a_time_as_are_asked_for(tmp_path: Path) -> None:
    """Two run at once, on half of the cores each; one that fails does so alone, and none is a rank."""
    runs = {
        each.combination.name: each for each in run_all(request(), combinations("works", "fails"), tmp_path, jobs=2)
    }
    assert {name: run.code for name, run in runs.items()} == {"works": 0, "fails": 3}
    assert all(run.log.read_text().endswith("2 False\n") for run in runs.values())


@pytest.mark.usefixtures("meeting")
def test_those_at_work_are_seen(tmp_path: Path) -> None:
    """While they run it is known at which batch each of them is."""
    seen: set[tuple[str, int, int]] = set()
    list(run_all(request(), combinations("a", "b"), tmp_path, jobs=2, look=lambda runs: seen.update(map(place, runs))))
    assert seen <= {("", 0, 1), ("Epoch: [1/2]", 7, 50)}


def test_a_run_that_printed_nothing_is_at_its_beginning(tmp_path: Path) -> None:
    """Of a log that is not there, or holds something else, nothing is known."""
    run = ProgramRun(*combinations("a"), tmp_path / "a")
    assert run.place() == ("", 0, 1)
    run.log.write_text("[12:00] Epoch: [2/3] Batch: [  11/  25] Loss: 0.5\nwarning: something\n")
    assert run.place() == ("Epoch: [2/3]", 11, 25)


def request() -> RunRequest:
    """Return a request."""
    return RunRequest(experiment="mnist")


def place(run: ProgramRun) -> tuple[str, int, int]:
    """Return where a run is."""
    return run.place()
