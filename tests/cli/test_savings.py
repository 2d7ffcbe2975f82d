"""`--warm-start` and `--loosen`: flags of every run, recorded with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from equilib.cli import main
from tests.cli.test_resume import record, run, same, stop_after
from tests.digits import write_digits

SAVINGS = ("--warm-start", "both", "--loosen", "5")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with made-up digits."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EQUILIB_DATA_DIR", raising=False)
    write_digits(tmp_path / "digits")


def test_an_interrupted_run_ends_as_it_would_have(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped in the middle of the second epoch, the run goes on with what was kept, and with its tolerances."""
    assert run(*SAVINGS, out="whole") == 0
    out = capsys.readouterr().out
    assert "Warm start: equilibria and adjoints of 32 samples" in out
    assert "Tolerances: 5 times as large at first" in out
    stop_after(monkeypatch, 10)
    assert run(*SAVINGS) == 130
    assert main(["resume", "run"]) == 0
    same("whole", "run")
    request = record()["request"]
    assert (request["warm_start"], request["loosen"]) == ("both", 5.0)


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("mnist-neural-ode", "--warm-start", "equilibria"), "solves for no fixed point: leave out --warm-start"),
        (("mnist-neural-ode", "--loosen", "2"), "solves for no fixed point: leave out --loosen"),
        (("mnist", "--warm-start", "both", "--adjoint", "jacobian-free"), "take --warm-start equilibria"),
        (("mnist", "--warm-start", "both", "--epochs", "0", "--loosen", "0.5"), "0.5"),
        (("mnist", "--warm-start", "always"), "always"),
    ],
)
def test_senseless_savings_are_refused(
    capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], sentence: str
) -> None:
    """In one sentence, before anything is written."""
    name, *rest = argv
    assert main(["run", name, "--data-dir", "digits", "--limit", "40", "--out", "no", *rest]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert sentence in errors
    assert not Path("no").exists()
