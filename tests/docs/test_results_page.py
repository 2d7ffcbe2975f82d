"""The table of results: its rows are commands, it can be continued, and it hides no failure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import results_page, results_table
from benchmarks.results_page import BEGIN, END, PAGE
from benchmarks.results_race import evaluations_to, history, race
from benchmarks.results_rows import CURVES, ROWS, Row
from equilib.cli import main

SHORT = Row("short", CURVES, "linear --epochs 1")
REFUSED = Row("refused", CURVES, "linear --epochs 1 --solver newton-gmers")


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the rows by a short one and one that is refused."""
    for module in (results_page, results_table):
        monkeypatch.setattr(module, "ROWS", (SHORT, REFUSED))


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    """Return the options for an empty page and an empty record."""
    page = tmp_path / "results.md"
    page.write_text(f"Before.\n{BEGIN}\nold\n{END}\nAfter.\n", encoding="utf-8")
    return ["--page", str(page), "--json", str(tmp_path / "experiments.json")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_is_a_command(row: Row) -> None:
    """Each row's command is known, with all its options."""
    assert main([*row.words, "--help"]) == 0


def test_names_and_commands_are_different() -> None:
    """No two rows have the same name or the same command."""
    assert len({row.name for row in ROWS}) == len({row.command for row in ROWS}) == len(ROWS)


@pytest.mark.usefixtures("few_rows")
def test_a_row_is_run_once_and_shown(places: list[str]) -> None:
    """A row gets its mean and spread, and is not run again when it is there."""
    page, record = Path(places[1]), Path(places[3])
    results_page.main([*places, "--only", "short", "--seeds", "0,1", "--threads", "1"])
    first = json.loads(record.read_text(encoding="utf-8"))
    assert [(run["seed"], run["status"]) for run in first] == [(0, "finished"), (1, "finished")]
    (line,) = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `equilib")]
    scores = [run["score"] for run in first]
    assert f"{sum(scores) / 2:.2g} ({min(scores):.2g} to {max(scores):.2g})" in line
    assert "tsit5" in line
    results_page.main([*places, "--only", "short", "--seeds", "0,1"])
    assert json.loads(record.read_text(encoding="utf-8")) == first
    assert page.read_text(encoding="utf-8").startswith("Before.\n")
    assert page.read_text(encoding="utf-8").endswith("\nAfter.\n")


def test_the_race_counts_evaluations_to_the_error_of_the_plain_model() -> None:
    """A model is charged for the epochs until its error is as small; one that never gets there is said to."""
    plain = [{"step": 10, "forward_nfe": 5.0, "train_error": 3.0}, {"step": 20, "forward_nfe": 4.0, "train_error": 1.0}]
    quick = [{"step": 10, "forward_nfe": 7.0, "train_error": 0.9}, {"step": 20, "forward_nfe": 2.0, "train_error": 0.5}]
    slow = [{"step": 10, "forward_nfe": 1.0, "train_error": 2.0}]
    runs = [
        {"row": f"polynomial-{name}", "seed": 0, "status": "finished", "history": history(epochs)}
        for name, epochs in (("deq", plain), ("quick", quick), ("slow", slow))
    ]
    assert [evaluations_to(run, 1.0) for run in runs] == [90, 70, None]
    table = race(runs)
    assert "| `quick` | 0 | 0 |" in table
    assert "| `slow` | – | never |" in table
    assert race(runs[1:]) == []


@pytest.mark.usefixtures("few_rows")
def test_a_refused_run_is_shown_with_its_sentence(places: list[str]) -> None:
    """A run that did not finish is on the page, with what it said, and is tried again."""
    results_page.main([*places, "--only", "refused", "--seeds", "0"])
    text = Path(places[1]).read_text(encoding="utf-8")
    assert "0 of 1" in text
    assert "refused: no solver 'newton-gmers'" in text
    (run,) = json.loads(Path(places[3]).read_text(encoding="utf-8"))
    assert not results_page.Record(Path(places[3])).has(REFUSED, run["seed"])


def test_the_page_is_written_by_the_command(tmp_path: Path) -> None:
    """What docs/results.md shows is what the record of the runs says."""
    copy = tmp_path / "results.md"
    copy.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    results_page.main(["--table", "--page", str(copy)])
    assert copy.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
