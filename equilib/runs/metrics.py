"""Metrics of each epoch in files: lines of JSON, and a table."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equilib.runs.files import json_values, whole_file

METRICS, TABLE = "metrics.jsonl", "metrics.csv"


class MetricsFiles:
    """`metrics.jsonl` and `metrics.csv` in a folder, to which each epoch adds a line.

    In the table nested metrics are columns such as "test.residual". A column that turns up later, as a status does
    when it first occurs, is added to the whole table.
    """

    def __init__(self, folder: Path) -> None:
        self._lines, self._table = folder / METRICS, folder / TABLE
        self._columns: list[str] = []

    def append(self, metrics: Mapping[str, Any]) -> None:
        """Add an epoch; it is on the disk when this returns."""
        _append(self._lines, json.dumps(json_values(metrics), allow_nan=False) + "\n")
        row = flat(json_values(metrics))
        if self._columns and set(row) <= set(self._columns):
            _append(self._table, _csv([row], self._columns, header=False))
        else:
            self._write_table()

    def keep(self, count: int) -> int:
        """Drop what follows the first `count` epochs, and return how many there are."""
        lines = [json.dumps(each, allow_nan=False) + "\n" for each in self._read()[:count]]
        with whole_file(self._lines) as file:
            file.write("".join(lines).encode())
        self._write_table()
        return len(lines)

    def _write_table(self) -> None:
        rows = [flat(epoch) for epoch in self._read()]
        self._columns = list(dict.fromkeys(name for row in rows for name in row))
        with whole_file(self._table) as file:
            file.write(_csv(rows, self._columns, header=True).encode())

    def _read(self) -> list[dict[str, Any]]:
        return read_metrics(self._lines)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return what was recorded of each epoch, up to the first line that was cut short or damaged."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    epochs = []
    for line in lines:
        try:
            epoch = json.loads(line)
        except ValueError:
            break
        if not isinstance(epoch, dict):
            break
        epochs.append(epoch)
    return epochs


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values side by side, named by their path, as in "test.residual"."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def _csv(rows: list[dict[str, Any]], columns: list[str], *, header: bool) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
