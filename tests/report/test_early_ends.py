"""Runs that did not finish, lack something, or do not belong together are reported as far as they go."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from equilib.cli import main
from tests.report.reading import Node, chart, curves, legend, report


def notices(page: Node) -> str:
    """Return what the page warns of."""
    return "\n".join(node.text for node in page.all("p", class_="notice"))


def test_a_failed_run_says_so_and_why(runs: Any, tmp_path: Path) -> None:
    """Its error is a notice, its epoch is drawn, and what could not be tested is named."""
    page = report(tmp_path, runs.failed)
    assert "failed after 1 of 3 epochs: " in notices(page)
    assert "samples unconverged" in notices(page)
    assert chart(page, "Loss")
    assert "No confusion matrix, no pictures and no solver trace: " in page.text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"status": "running", "results": None}, "has not ended: it is still running, or its process was killed; 3 of"),
        ({"status": "interrupted"}, "interrupted after 3 of 3 epochs"),
    ],
)
def test_how_a_run_ended_is_said(
    runs: Any, tmp_path: Path, copy: Callable[..., Path], changes: dict[str, Any], sentence: str
) -> None:
    """A run that is running or was interrupted has a notice, and its model is tested all the same."""
    page = report(tmp_path / "out", copy(runs.newton, "run", **changes))
    assert sentence in notices(page)
    assert page.all("table", class_="confusion")


def test_a_run_without_model_and_epochs_is_a_page(runs: Any, tmp_path: Path, copy: Callable[..., Path]) -> None:
    """A run that has just begun has facts, and what is missing is named."""
    begun = copy(runs.newton, "run", drop=("model.npz", "metrics.*"), status="running", results=None, peak_memory=None)
    page = report(tmp_path / "out", begun)
    assert "No confusion matrix, no pictures and no solver trace: no model was saved." in page.text
    assert "No epoch was recorded." in page.text
    assert page.all("table", class_="facts")


def test_missing_data_is_named(runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the data the curves and the facts are there, and page and command say what was not found."""
    (tmp_path / "empty").mkdir()
    page = report(tmp_path / "out", runs.newton, argv=("--data-dir", str(tmp_path / "empty")))
    assert chart(page, "Accuracy")
    assert "No confusion matrix" in page.text
    assert str(tmp_path / "empty") in page.text
    assert "Missing: newton: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "sentence"),
    [("--device=nowhere", "Invalid value"), ("--device=cuda", "--device cuda "), ("--kernels=none-such", "no kernels")],
)
def test_what_is_asked_for_and_not_here_is_refused(
    runs: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    sentence: str,
) -> None:
    """As of `evaluate` a device or kernels that are not here end the command, before anything is written."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    for command in (["report", "--out", str(tmp_path / "out")], ["evaluate"]):
        assert main([*command, str(runs.newton), option]) == 2
        assert capsys.readouterr().err.startswith(f"error: {sentence}")
    assert not (tmp_path / "out").exists()


def test_other_data_is_named(
    runs: Any, tmp_path: Path, copy: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """What the model does on data that is not the run's is not taken for its result."""
    page = report(tmp_path / "out", copy(runs.newton, "run", data_digest="another"))
    assert "This is not the data of the run" in notices(page)
    assert "as recorded" not in page.text
    assert "--data-dir" in capsys.readouterr().out


def test_another_models_parameters_are_refused(runs: Any, tmp_path: Path, copy: Callable[..., Path]) -> None:
    """A model.npz that is cut short costs the tests, not the page."""
    run = copy(runs.newton, "run")
    (run / "model.npz").write_bytes((run / "model.npz").read_bytes()[:100])
    page = report(tmp_path / "out", run)
    assert "No confusion matrix" in page.text
    assert "model.npz cannot be read" in page.text


def test_losses_of_different_experiments_are_not_laid_over_each_other(
    runs: Any, tmp_path: Path, copy: Callable[..., Path]
) -> None:
    """Loss and score have a chart for each experiment, what the solvers did has one for all."""
    other = copy(runs.anderson, "other", experiment="quite-another")
    page = report(tmp_path / "out", runs.newton, other, argv=("--limit", "0"))
    assert "The experiments differ" in notices(page)
    assert set(legend(chart(page, "Loss of mnist"))) & {"newton", "other"} == {"newton"}
    assert set(legend(chart(page, "Loss of quite-another"))) & {"newton", "other"} == {"other"}
    assert {"newton", "other"} <= set(legend(chart(page, "Evaluations of f")))


def test_runs_on_different_data_have_a_notice(runs: Any, tmp_path: Path, copy: Callable[..., Path]) -> None:
    """Runs of one experiment whose data differs are laid over each other with a warning."""
    other = copy(runs.anderson, "other", data_digest="another")
    assert "differ in their data" in notices(report(tmp_path / "out", runs.newton, other, argv=("--limit", "0")))
    assert not notices(report(tmp_path / "out", runs.newton, runs.anderson, argv=("--limit", "0")))


def test_what_cannot_be_drawn_is_left_out(runs: Any, tmp_path: Path, copy: Callable[..., Path]) -> None:
    """Numbers that were not finite are null in the record, and a residual of 0 has no logarithm: neither is drawn."""
    run = copy(runs.newton, "run")
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines[0] |= {"loss": None, "residual": 0.0}
    for line in lines:
        line["test"]["residual"] = 0.0
    path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    page = report(tmp_path / "out", run, argv=("--limit", "0"))
    for title in ("Loss", "Residual"):
        (line,) = curves(chart(page, title))
        assert len(line) == 2


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("nowhere",), "'nowhere' does not exist"),
        ((".",), "holds no run"),
        ((), "Missing argument 'RUN...'"),
        (("{newton}", "--out", "{newton}/run.json"), "is a file"),
        (("{newton}", "--out", "{newton}/run.json/x"), "cannot be written"),
        (("{newton}", "--limit", "-1"), "--limit"),
    ],
)
def test_a_mistake_is_one_sentence(
    runs: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: tuple[str, ...],
    said: str,
) -> None:
    """What the user did wrong is said in a line, with the status 2."""
    monkeypatch.chdir(tmp_path)
    assert main(["report", *(each.format(newton=runs.newton) for each in argv)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
