"""The metrics of a run as lines and as a table: the same numbers, whatever turns up when."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from equilib.runs.metrics import METRICS, append_metrics, flat, keep_metrics, read_metrics

FIRST = {"epoch": 1, "loss": 0.1 + 0.2, "status": {"converged": 3}, "test": {"residual": 1e-3}}
SECOND = {"epoch": 2, "loss": float("nan"), "status": {"converged": 2, "max_steps": 1}, "test": {"residual": None}}


def rows(folder: Path) -> list[dict[str, str]]:
    """Read the table."""
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_lines_and_table_hold_the_same(tmp_path: Path) -> None:
    """Each epoch is a line of JSON and a row; what is nested has a column named by its path; digits are not lost."""
    append_metrics(tmp_path, FIRST)
    append_metrics(tmp_path, SECOND)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [FIRST, SECOND | {"loss": None}]
    first, second = rows(tmp_path)
    assert float(first["loss"]) == 0.1 + 0.2
    assert (first["test.residual"], first["status.converged"], second["loss"]) == ("0.001", "3", "")


def test_a_column_that_turns_up_later_is_added_to_the_table(tmp_path: Path) -> None:
    """A status that occurs in the second epoch is empty in the first, and one that is missing later is empty there."""
    for epoch in (FIRST, SECOND, FIRST):
        append_metrics(tmp_path, epoch)
    assert [row["status.max_steps"] for row in rows(tmp_path)] == ["", "1", ""]
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_what_follows_is_dropped(tmp_path: Path, count: int) -> None:
    """After a restart only the first epochs stay, in both files, and new ones follow them."""
    for epoch in (FIRST, SECOND):
        append_metrics(tmp_path, epoch)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "lo')
    keep_metrics(tmp_path, count)
    append_metrics(tmp_path, FIRST | {"epoch": 9})
    epochs = [*[1, 2][:count], 9]
    assert [epoch["epoch"] for epoch in read_metrics(tmp_path / "metrics.jsonl")] == epochs
    assert [int(row["epoch"]) for row in rows(tmp_path)] == epochs


def test_without_a_file_there_are_no_epochs(tmp_path: Path) -> None:
    """A run that has not come so far has no metrics, and no error."""
    assert read_metrics(tmp_path / "metrics.jsonl") == []
    keep_metrics(tmp_path, 3)
    assert read_metrics(tmp_path / "metrics.jsonl") == []


@pytest.mark.parametrize("damage", [b'{"epoch": 2, "lo', b'{"epoch": "\xe5"}', b"5"], ids=["cut", "bytes", "number"])
def test_epochs_before_a_damaged_line_are_read(tmp_path: Path, damage: bytes) -> None:
    """What cannot be read ends the record; it does not hide what was recorded before."""
    (tmp_path / METRICS).write_bytes(b'{"epoch": 1}\n' + damage + b'\n{"epoch": 3}\n')
    assert read_metrics(tmp_path / METRICS) == [{"epoch": 1}]


def test_names_are_paths() -> None:
    """Nested values stand side by side, at any depth, in their order."""
    assert flat({"a": 1, "b": {"c": 2, "d": {"e": None}}, "f": "x"}) == {"a": 1, "b.c": 2, "b.d.e": None, "f": "x"}
