"""The metrics of a run as lines and as a table: the same numbers, whatever turns up when."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from equilib.runs.metrics import METRICS, append_line, append_row, flat, keep_metrics, read_lines, read_metrics

FIRST = {"epoch": 1, "loss": 0.1 + 0.2, "status": {"converged": 3}, "test": {"residual": 1e-3}}
SECOND = {"epoch": 2, "loss": float("nan"), "status": {"converged": 2, "max_steps": 1}, "test": {"residual": None}}


def add_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    """Add an epoch to both files."""
    append_line(folder, metrics)
    append_row(folder, metrics)


def rows(folder: Path) -> list[dict[str, str]]:
    """Read the table."""
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_lines_and_table_hold_the_same(tmp_path: Path) -> None:
    """Each epoch is a line of JSON and a row; what is nested has a column named by its path; digits are not lost."""
    add_metrics(tmp_path, FIRST)
    add_metrics(tmp_path, SECOND)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [FIRST, SECOND | {"loss": None}]
    first, second = rows(tmp_path)
    assert float(first["loss"]) == 0.1 + 0.2
    assert (first["test.residual"], first["status.converged"], second["loss"]) == ("0.001", "3", "")


def test_a_column_that_turns_up_later_is_added_to_the_table(tmp_path: Path) -> None:
    """A status that occurs in the second epoch is empty in the first, and one that is missing later is empty there."""
    for epoch in (FIRST, SECOND, FIRST):
        add_metrics(tmp_path, epoch)
    assert [row["status.max_steps"] for row in rows(tmp_path)] == ["", "1", ""]
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_what_follows_is_dropped(tmp_path: Path, count: int) -> None:
    """After a restart only the first epochs stay, in both files, and new ones follow them."""
    for epoch in (FIRST, SECOND):
        add_metrics(tmp_path, epoch)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "lo')
    keep_metrics(tmp_path, count)
    add_metrics(tmp_path, FIRST | {"epoch": 9})
    epochs = [*[1, 2][:count], 9]
    assert [epoch["epoch"] for epoch in read_metrics(tmp_path / "metrics.jsonl")] == epochs
    assert [int(row["epoch"]) for row in rows(tmp_path)] == epochs


def test_without_a_file_there_are_no_epochs(tmp_path: Path) -> None:
    """A run that has not come so far has no metrics, and no error."""
    assert read_metrics(tmp_path / "metrics.jsonl") == []
    keep_metrics(tmp_path, 3)
    assert read_metrics(tmp_path / "metrics.jsonl") == []


@pytest.mark.parametrize(
    "damage",
    [b'{"epoch": 2, "lo', b'{"epoch": "\xe5"}', b"5", b"", b"[" * 100_000],
    ids=["cut", "bytes", "number", "empty", "deep"],
)
def test_a_damaged_line_is_named_and_hides_no_other(tmp_path: Path, damage: bytes) -> None:
    """Epochs before and after it are read, in their places, and stay there when the run goes on; a torn end is none."""
    (tmp_path / METRICS).write_bytes(b'{"epoch": 1}\n' + damage + b'\n{"epoch": 3}\n{"epoch": 4, "lo')
    epochs, flaws = read_lines(tmp_path / METRICS)
    assert epochs == [{"epoch": 1}, {}, {"epoch": 3}]
    assert [each.partition(" (")[0] for each in flaws] == ["line 2 of metrics.jsonl is damaged and left out"]
    keep_metrics(tmp_path, 3)
    assert read_lines(tmp_path / METRICS) == (epochs, [])


def test_a_value_of_another_kind_is_left_out(tmp_path: Path) -> None:
    """The rest of its line stays, and the sentence says where it stood."""
    line = {"loss": "low", "test_accuracy": 0.5, "test": {"residual": [1], "status": {"converged": 2}}, "more": [[]]}
    (tmp_path / METRICS).write_text(json.dumps(line) + "\n")
    epochs, flaws = read_lines(tmp_path / METRICS)
    left = {"loss": None, "test_accuracy": 0.5, "test": {"residual": None, "status": {"converged": 2}}, "more": [[]]}
    assert epochs == [left]
    assert sorted(flaws) == [
        "line 1 of metrics.jsonl: 'loss' is 'low', not int; it is left out",
        "line 1 of metrics.jsonl: 'test.residual' is [1], not int; it is left out",
    ]


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    """A text that a spreadsheet would compute is one that it shows; numbers stay numbers."""
    add_metrics(tmp_path, {"phase": "=HYPERLINK(1)", "@SUM(A1)": -1.5, "status": {"+1": 2}})
    add_metrics(tmp_path, {"phase": "-1", "@SUM(A1)": 2.5, "status": {"+1": 3}})
    first, second = rows(tmp_path)
    assert first == {"phase": "'=HYPERLINK(1)", "'@SUM(A1)": "-1.5", "status.+1": "2"}
    assert second["phase"] == "'-1"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_no_link_is_followed(tmp_path: Path) -> None:
    """What somebody linked to the names of a run's files is not written to."""
    (tmp_path / "run").mkdir()
    (tmp_path / "theirs").write_text("mine")
    for name in ("metrics.jsonl", ".metrics.csv.part"):
        (tmp_path / "run" / name).symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        add_metrics(tmp_path / "run", {"epoch": 1})
    (tmp_path / "run" / "metrics.jsonl").unlink()
    add_metrics(tmp_path / "run", {"epoch": 1})
    assert (tmp_path / "theirs").read_text() == "mine"


def test_numbers_that_json_lacks_are_null_again(tmp_path: Path) -> None:
    """A line in which another program wrote NaN or Infinity is kept, without them."""
    (tmp_path / METRICS).write_text('{"epoch": 1, "loss": NaN, "residual": -Infinity}\n', encoding="utf-8")
    keep_metrics(tmp_path, 1)
    assert json.loads((tmp_path / METRICS).read_text("utf-8")) == {"epoch": 1, "loss": None, "residual": None}


def test_names_are_paths() -> None:
    """Nested values stand side by side, at any depth, in their order."""
    assert flat({"a": 1, "b": {"c": 2, "d": {"e": None}}, "f": "x"}) == {"a": 1, "b.c": 2, "b.d.e": None, "f": "x"}
