"""`equilib check-gradient`: a table, a verdict, and an exit status, at initial and at trained parameters."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib.cli import main
from tests.digits import write_digits

FEW = ("--samples", "2", "--directions", "1", "--device", "cpu")


@dataclass
class Checker:
    """Types `equilib check-gradient mnist`."""

    digits: Path
    capsys: pytest.CaptureFixture[str]
    status: int = 0
    err: str = ""

    def __call__(self, *argv: str) -> str:
        """Run it and return what it printed."""
        self.status = main(["check-gradient", "mnist", "--data-dir", str(self.digits), *FEW, *argv])
        out, self.err = self.capsys.readouterr()
        return out

    def json(self, *argv: str) -> Any:
        """Run it with --json and return what it printed."""
        return json.loads(self(*argv, "--json"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of made-up digits."""
    return write_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture
def check(digits: Path, capsys: pytest.CaptureFixture[str]) -> Checker:
    """Return the command, set to the made-up digits."""
    return Checker(digits, capsys)


@pytest.fixture(scope="module")
def trained(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a short run of `skipdeq` with Picard iteration and the Jacobian-free gradient."""
    out = tmp_path_factory.mktemp("runs") / "run"
    method = ("--solver", "picard:damping=0.1", "--adjoint", "jacobian-free", "-o", "rtol=1e-5", "--model", "skipdeq")
    short = ("--limit", "20", "--epochs", "1", "--pretrain-epochs", "0", "--device", "cpu", "--seed", "3")
    assert main(["run", "mnist", "--data-dir", str(digits), "--out", str(out), *method, *short]) == 0
    return out


def test_an_exact_adjoint_solved_tightly_is_right(check: Checker) -> None:
    """With tight tolerances the default method's gradient is right, and that is said in words."""
    printed = check("-o", "rtol=1e-11", "-o", "max_steps=40", "--model", "skipdeq")
    assert check.status == 0
    assert printed.rstrip().splitlines()[-1].startswith("Right: the relative error is ")
    assert "2 samples, at the initial parameters, in float64" in printed
    assert check.err == ""


@pytest.mark.parametrize("columns", [60, 80])
def test_the_report_fits_the_terminal(
    check: Checker, trained: Path, monkeypatch: pytest.MonkeyPatch, columns: int, tmp_path: Path
) -> None:
    """No line is wider; the name of a folder that is, is whole, and a pipe gets whole lines."""
    long = tmp_path / ("a-folder-" * 12)
    long.symlink_to(trained)
    monkeypatch.setenv("COLUMNS", str(columns))
    whole = check("--from", str(long))
    assert f"2 samples, at the parameters in {long}, in float64" in whole
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    printed = check("--from", str(long)).splitlines()
    assert [each.split()[-1] for each in printed if len(each) > columns] == [f"{long},"]
    assert " ".join(whole.partition("\n\n")[0].split()) == " ".join("\n".join(printed).partition("\n\n")[0].split())
    assert not [each for each in check("--model", "skipdeq").splitlines() if len(each) > columns]


def test_the_verdict_of_an_approximation_names_it(check: Checker) -> None:
    """The Jacobian-free gradient is off by its own approximation, which is no failure."""
    found = check.json("--adjoint", "jacobian-free", "-o", "rtol=1e-11", "-o", "max_steps=40")
    assert check.status == 0
    assert found["adjoint"] == "JacobianFree()"
    assert found["dominant"] == "the adjoint's own approximation"
    assert found["against_implicit"]["parameters"]["relative_error"] > 1e-4
    assert found["implicit_against_differences"]["relative_error"] < 1e-6


def test_a_solve_that_ended_early_is_reported(check: Checker) -> None:
    """Without a step the forward residual is what is wrong, and no sample counts as converged."""
    found = check.json("--solver", "picard", "--adjoint", "implicit:rtol=1e-11,max_steps=20", "-o", "max_steps=0")
    assert check.status == 0
    assert found["forward"]["unconverged"] == found["forward"]["samples"] == 2
    assert found["dominant"] == "the forward residual"


def test_what_cannot_be_judged_fails(check: Checker, trained: Path, tmp_path: Path) -> None:
    """With a nan in the model there is nothing to compare with: status 1, and null in JSON."""
    (tmp_path / "run.json").write_bytes((trained / "run.json").read_bytes())
    with np.load(trained / "model.npz") as file:
        model = dict(file)
    next(array for name, array in model.items() if name.startswith("deq/cell/recur")).flat[0] = np.nan
    np.savez(tmp_path / "model.npz", **model)
    found = check.json("--from", str(tmp_path))
    assert check.status == 1
    assert found["verdict"].startswith("Unknown: ")
    assert found["against_implicit"]["parameters"]["relative_error"] is None


def test_a_run_brings_its_model_and_its_method(check: Checker, trained: Path) -> None:
    """With --from, what is checked is the run's model at its trained parameters, with its solver and adjoint."""
    found = check.json("--from", str(trained))
    assert found["solver"] == "Picard(damping=0.1)"
    assert found["adjoint"] == "JacobianFree()"
    initial = check.json(
        "--model", "deq", "--solver", "picard:damping=0.1", "--adjoint", "jacobian-free", "--seed", "3"
    )
    assert found["against_implicit"] != initial["against_implicit"]


def test_flags_overrule_the_run(check: Checker, trained: Path) -> None:
    """A solver given beside --from replaces the run's, and brings its own adjoint."""
    tight = ("-o", "rtol=1e-11", "-o", "atol=0", "-o", "max_steps=40")
    found = check.json("--from", str(trained), "--solver", "newton-gmres", *tight)
    assert found["solver"].startswith("NewtonGMRES(")
    assert found["adjoint"].startswith("ImplicitAdjoint(")
    assert found["verdict"].startswith("Right")


def change_option(run: Path, name: str, value: str) -> None:
    """Record another value of one of the experiment's options."""
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    for part in ("request", "resolved"):
        facts[part]["values"][name] = value
    (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: (run / "run.json").unlink(), "holds no run"),
        (lambda run: (run / "run.json").write_text("[]"), "is not the record of a run"),
        (lambda run: (run / "run.json").write_text('{"experiment": "other"}'), "is a run of 'other', not of 'mnist'"),
        (lambda run: (run / "model.npz").unlink(), "the run may have ended before it had a model"),
        (lambda run: (run / "model.npz").write_bytes(b"PK\x03\x04 cut"), "model.npz cannot be read"),
        (lambda run: np.savez(run / "model.npz", a=np.ones(3)), "model.npz holds another model: 'before/"),
        (
            lambda run: change_option(run, "model", "deq"),
            "there is no 'deq/initial_guess",
        ),
    ],
    ids=[
        "no record",
        "no object",
        "another experiment",
        "no model",
        "a broken model",
        "another model",
        "more than the model",
    ],
)
def test_a_folder_without_a_usable_run_is_refused(
    check: Checker, trained: Path, tmp_path: Path, change: Any, message: str
) -> None:
    """What is wrong with a run directory is said in one line, with status 2."""
    for name in ("run.json", "model.npz"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    change(tmp_path)
    assert check("--from", str(tmp_path)) == ""
    assert check.status == 2
    assert message in check.err
    assert check.err.splitlines()[-1].startswith("error: ")


def test_an_experiment_without_an_equilibrium_cannot_be_looked_at(
    digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The solution of an ODE has no gradient of a fixed point, and the error names the network."""
    assert main(["check-gradient", "mnist-neural-ode", "--data-dir", str(digits)]) == 2
    error = capsys.readouterr().err
    assert "experiment 'mnist-neural-ode' cannot be looked at: its network is of type ODEChain" in error
