"""A new metric is one new row of the table: every command and every file has it then."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.digits import write_digits
from tests.programs import equilib

ROW = """
import sys

import numpy as np

from equilib.training import metric, metrics, number_formats, reductions

metrics.METRICS += (
    metric.Metric(
        name="worst_residual",
        title="largest test residual",
        short="worst",
        show=number_formats.small,
        measure=lambda batch: float(np.max(batch.record.residual_norm)),
        over=reductions.LARGEST,
        of=metric.TEST,
        is_tested=True,
        better="lower",
        line=", worst {:.1e}",
        places=(metric.COMPARE, metric.EVALUATE, metric.CARD, metric.EPOCHS),
        panel=metric.Panel("worst", "Worst residual", "largest residual of a sample"),
    ),
)

import equilib.commands.compare  # after the row: what reads the table does so when it is imported

program = "import row, sys; from equilib.cli import main; sys.exit(main())"
equilib.commands.sweep.PROGRAM = (sys.executable, "-c", program)
"""
OPTIONS = ("--limit", "40", "--epochs", "2", "--pretrain-epochs", "0", "--device", "cpu", "--sort", "worst")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a module that adds a row, and a comparison that was made with it."""
    folder = tmp_path_factory.mktemp("row")
    (folder / "row.py").write_text(ROW, encoding="utf-8")
    data = write_digits(folder / "digits")
    argv = ("mnist", "--solvers", "picard,anderson", *OPTIONS, "--data-dir", str(data), "--out", "out")
    printed = with_row(folder, "compare", *argv)
    (folder / "table.txt").write_text(printed, encoding="utf-8")
    return folder


def with_row(folder: Path, *argv: str) -> str:
    """Run `equilib ...` after the row was added, and return what it prints."""
    done = equilib(*argv, cwd=folder, before="import row\n", PYTHONPATH=str(folder))
    assert done.returncode == 0, done.stderr
    return done.stdout


def last_epoch(folder: Path) -> tuple[float, float]:
    """Return the recorded values of the training and of the test."""
    lines = (folder / "out" / "picard" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    epoch = json.loads(lines[-1])
    return epoch["worst_residual"], epoch["test"]["worst_residual"]


def test_it_is_recorded_and_printed(folder: Path) -> None:
    """Each epoch has it in both files and in its line."""
    trained, tested = last_epoch(folder)
    assert np.isfinite([trained, tested]).all()
    *_, row = csv.DictReader((folder / "out" / "picard" / "metrics.csv").read_text(encoding="utf-8").splitlines())
    assert [float(row["worst_residual"]), float(row["test.worst_residual"])] == [trained, tested]
    assert f", worst {trained:.1e}" in (folder / "out" / "picard.log").read_text(encoding="utf-8")


def test_it_is_compared_and_orders_the_runs(folder: Path) -> None:
    """It has a column, a value for each run, and decides which run is the best."""
    header, *rows = (folder / "table.txt").read_text(encoding="utf-8").splitlines()
    assert "WORST" in header
    compared = json.loads((folder / "out" / "compare.json").read_text(encoding="utf-8"))["runs"]
    known = {run["solver"]: run["worst_residual"] for run in compared}
    assert known["picard"] == last_epoch(folder)[1]
    assert [row.split()[0] for row in rows[:2]] == sorted(known, key=lambda name: known[name])


def test_it_is_evaluated_and_reported(folder: Path) -> None:
    """It is measured again on the test data, and has its card, its chart, its fact and its column."""
    _, tested = last_epoch(folder)
    assert re.search(rf"worst +{tested:.1e}\n", with_row(folder, "evaluate", "out/picard"))
    with_row(folder, "report", "out/picard", "--out", "page")
    page = (folder / "page" / "report.html").read_text(encoding="utf-8")
    assert "<dt>worst</dt>" in page
    assert "<h3>Worst residual</h3>" in page
    assert "largest test residual" in page
    assert 'data-key="results.test.worst_residual">' in page
    assert '<th scope="col">worst</th>' in page
