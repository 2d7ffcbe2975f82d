"""`equilib compare`: one process for each method, one table, and what is there when it ends early."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from equilib.cli import main
from tests.digits import write_digits
from tests.programs import command, environment, equilib

QUICK = ("--limit", "60", "--epochs", "1", "--pretrain-epochs", "0", "--device", "cpu", "--seed", "7")
HOPELESS = "picard:rtol=1e-9,atol=0,max_steps=1,on_failure=raise"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of made-up digits."""
    return write_digits(tmp_path_factory.mktemp("digits"))


class Compared:
    """A comparison that has ended."""

    def __init__(self, out: Path, done: subprocess.CompletedProcess[str]) -> None:
        self.out, self.done = out, done
        self.record = json.loads((out / "compare.json").read_text(encoding="utf-8"))
        self.runs = {run["name"]: run for run in self.record["runs"]}

    def run_record(self, name: str) -> Any:
        """Read run.json of one run."""
        return json.loads((self.out / name / "run.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def compared(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Return a comparison of two solvers that train and one that cannot, two at a time."""
    folder = tmp_path_factory.mktemp("compare")
    out = folder / "out"
    chosen = (
        "--solvers",
        "picard",
        "--solver",
        NEWTON_SPEC,
        "--solver",
        HOPELESS,
        "-o",
        "norm=max",
        "--jobs",
        "2",
    )
    argv = ("compare", "mnist", *chosen, *QUICK, "--data-dir", str(digits), "--out", str(out))
    return Compared(out, equilib(*argv, cwd=folder, seconds=240))


NEWTON_SPEC = "newton-gmres:linear_solver.restart=5"
PICARD, NEWTON, FAILED = (
    "picard",
    "newton-gmres-linear_solver.restart=5",
    "picard-rtol=1e-9-atol=0-max_steps=1-on_failure=raise",
)


def test_every_combination_has_its_run(compared: Compared) -> None:
    """The comparison succeeds, and each method has a folder that `equilib run` wrote, with its log beside it."""
    assert compared.done.returncode == 0, compared.done.stderr
    assert set(compared.runs) == {PICARD, NEWTON, FAILED}
    assert {path.name for path in compared.out.iterdir() if path.is_dir()} == set(compared.runs)
    assert "Test accuracy" in (compared.out / f"{PICARD}.log").read_text(encoding="utf-8")
    assert {name: run["status"] for name, run in compared.runs.items()} == {
        PICARD: "finished",
        NEWTON: "finished",
        FAILED: "failed",
    }


def test_all_runs_have_the_same_seed_data_and_tolerance(compared: Compared) -> None:
    """What is compared differs by method alone, and each run's record holds a command that repeats it."""
    one, other = compared.run_record(PICARD), compared.run_record(NEWTON)
    assert one["seed"] == other["seed"] == 7
    assert one["options"] == other["options"]
    assert one["method"]["solve"] == other["method"]["solve"]
    assert one["method"]["solve"]["norm"] == "max"
    assert one["argv"][:2] == ["run", "mnist"]
    assert one["argv"][one["argv"].index("--solver") + 1] == "picard"
    assert other["method"]["solver"]["options"]["linear_solver.restart"] == 5


def test_the_numbers_are_those_of_the_runs(compared: Compared) -> None:
    """Scores, counts and times are what the run recorded."""
    row, results = compared.runs[NEWTON], compared.run_record(NEWTON)["results"]
    assert (row["score_name"], row["score"]) == ("accuracy", results["test_accuracy"])
    assert (row["residual"], row["unconverged"]) == (results["test"]["residual"], results["test"]["unconverged"])
    assert row["forward_nfe"] == results["forward_nfe"] > 0
    assert row["forward_njvp"] == results["forward_njvp"] > 0
    assert row["adjoint_nfe"] == results["adjoint_nfe"] > 0
    assert row["seconds"] == pytest.approx(results["seconds"])
    assert row["adjoint"] == "implicit"
    assert compared.runs[PICARD]["adjoint"] == "implicit"


def test_each_process_has_a_peak_of_its_own(compared: Compared) -> None:
    """Memory is that of the run's process, as its record says."""
    for name in (PICARD, NEWTON):
        assert compared.runs[name]["peak_memory"] == compared.run_record(name)["peak_memory"]
        if sys.platform != "win32":
            assert 30e6 < compared.runs[name]["peak_memory"] < 2e9


def test_a_failure_is_a_row_with_its_sentence(compared: Compared) -> None:
    """A run that fails does not end the comparison; why it failed stands in the table."""
    error = compared.runs[FAILED]["error"]
    assert "samples unconverged" in error
    assert compared.runs[FAILED]["score"] is None
    line = next(line for line in compared.done.stdout.splitlines() if line.startswith(HOPELESS))
    assert f"failed: {error}" in line


def test_the_table_has_a_line_for_each_run(compared: Compared) -> None:
    """Standard output is the table and where it is recorded; progress goes to standard error."""
    lines = compared.done.stdout.splitlines()
    numbers = "ACCURACY TIME NFE JVP VJP RESIDUAL UNCONVERGED MEMORY"
    assert lines[0].split() == ["SOLVER", "ADJOINT", *numbers.split(), "RESULT"]
    assert [line.split()[0] for line in lines[1:]] == [
        NEWTON_SPEC,
        HOPELESS,
        "picard",
        "Recorded",
    ]
    assert "[3/3]" in compared.done.stderr


def test_the_residuals_are_followed_on_one_batch(compared: Compared) -> None:
    """Each solver that trained has a falling curve from the same start; the picture is there, or why it is not."""
    curves = {curve["solver"]: curve for curve in compared.record["residual"]}
    assert set(curves) == {"picard", NEWTON_SPEC}
    for curve in curves.values():
        assert curve["cost"] == sorted(curve["cost"])
        assert curve["residual"] == sorted(curve["residual"], reverse=True)
        assert curve["residual"][-1] < 1e-3 * curve["residual"][0]
    assert len({curve["residual"][0] for curve in curves.values()}) == 1
    picture = compared.out / "residual.png"
    if picture.exists():
        assert picture.read_bytes().startswith(b"\x89PNG")
    else:
        assert "no residual.png: drawing needs an optional package" in compared.done.stderr


def test_an_experiment_that_integrates_is_compared_by_its_adjoints(digits: Path, tmp_path: Path) -> None:
    """Its solvers are integrators; there is no residual to follow, and nothing is said about it."""
    argv = ("--solvers", "bs3", "--adjoints", "gauss", "--limit", "30", "--epochs", "1", "--device", "cpu")
    argv = (*argv, "--data-dir", str(digits), "--json")
    done = equilib("compare", "mnist-neural-ode", *argv, "--out", str(tmp_path / "out"), cwd=tmp_path, seconds=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (row,) = found["runs"]
    assert (row["solver"], row["adjoint"], row["status"]) == ("bs3", "gauss", "finished")
    assert found["residual"] == []
    assert done.stderr.splitlines() == ["[1/1] bs3+gauss", "[1/1] bs3+gauss finished"]


def test_what_is_there_is_not_replaced_unasked(compared: Compared, digits: Path, tmp_path: Path) -> None:
    """A folder with an earlier comparison is refused before anything runs."""
    before = (compared.out / "compare.json").read_bytes()
    argv = ("compare", "mnist", "--solvers", "picard", *QUICK, "--data-dir", str(digits), "--out", str(compared.out))
    done = equilib(*argv, cwd=tmp_path)
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert (compared.out / "compare.json").read_bytes() == before


def test_an_earlier_run_is_not_taken_for_one_that_was_refused(tmp_path: Path) -> None:
    """With --overwrite, a run that ends before it begins is refused, though its folder holds an older record."""
    out = tmp_path / "out"
    (out / "picard").mkdir(parents=True)
    (out / "picard" / "run.json").write_text('{"status": "finished", "results": {"test_accuracy": 1.0}}')
    empty = tmp_path / "empty"
    empty.mkdir()
    argv = ("--solvers", "picard", "--data-dir", str(empty))
    done = equilib("compare", "mnist", *argv, "--out", str(out), "--overwrite", "--json", cwd=tmp_path)
    assert done.returncode == 1
    (row,) = json.loads(done.stdout)["runs"]
    assert (row["status"], row["score"]) == ("refused", None)
    assert f"--data-dir {empty}" in row["error"]


@pytest.mark.skipif(sys.platform == "win32", reason="process groups as POSIX has them")
def test_ctrl_c_keeps_what_is_there(digits: Path, tmp_path: Path) -> None:
    """Interrupted, the runs at work are recorded as interrupted, the others as not run, and the status is 130."""
    out = tmp_path / "out"
    endless = ("--limit", "30", "--epochs", "100000", "--pretrain-epochs", "0", "--device", "cpu")
    several = ("--solvers", "picard,anderson,newton-gmres", "--jobs", "2")
    argv = ("compare", "mnist", *several, *endless, "--data-dir", str(digits), "--json")
    process = subprocess.Popen(
        command(*argv, "--out", str(out)),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 60
    trained = [out / name / "metrics.jsonl" for name in ("picard", "anderson")]
    while not all(path.exists() for path in trained) and time.monotonic() < end:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    found = json.loads(printed)
    ended = {run["name"]: run["status"] for run in found["runs"]}
    assert ended == {"picard": "interrupted", "anderson": "interrupted"}
    assert all(run["score"] is not None for run in found["runs"])
    assert found["not_run"] == ["newton-gmres"]
    assert json.loads((out / "compare.json").read_text(encoding="utf-8")) == found


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "name what to compare: --solvers NAME,NAME or --solvers all"),
        (("--solvers", "picrad"), "no solver 'picrad'. Did you mean 'picard'?"),
        (("--solvers", "picard", "--adjoints", "implict"), "Did you mean 'implicit'?"),
        (
            ("--solvers", "newton-gmres:forcing=0.5,max_steps=20"),
            "give one with options as --solver NAME:OPTION=VALUE",
        ),
        (("--solvers", "all,picard"), "--solvers all already has all of them"),
        (("--solvers", "picard", "-o", "restart=5"), "solver 'picard' has no option 'restart'"),
        (("--solver", "picard:rtol=1", "-o", "rtol=2"), "given both in --solver and with -o"),
        (("--solvers", "picard", "--limit", "3"), "expects an int >= 10"),
        (("--solvers", "picard", "--sort", "memroy"), "no metric 'memroy'. Did you mean 'memory'?"),
    ],
    ids=" ".join,
)
def test_mistakes_stop_before_any_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], message: str
) -> None:
    """A mistake is one line with status 2, and nothing is written."""
    out = tmp_path / "out"
    assert main(["compare", "mnist", *argv, "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
