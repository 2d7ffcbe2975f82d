"""Metrics of each epoch in files: lines of JSON, and a table."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from equilib.runs.files import json_values, whole_file

METRICS, TABLE = "metrics.jsonl", "metrics.csv"


def append_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Add an epoch to the files in a folder; it is on the disk when this returns.

    A column that turns up later, as a status does when it first occurs, is added to the whole table.
    """
    _append(folder / METRICS, json.dumps(json_values(metrics), allow_nan=False) + "\n")
    row, table = flat(json_values(metrics)), folder / TABLE
    columns = table.read_text("utf-8").partition("\n")[0].split(",") if table.exists() else []
    if row.keys() <= set(columns):
        _append(table, _csv([row], columns))
    else:
        _write_table(folder)


def keep_metrics(folder: Path, count: int) -> None:
    """Drop what follows the first `count` epochs."""
    lines = [json.dumps(each, allow_nan=False) + "\n" for each in read_metrics(folder / METRICS)[:count]]
    with whole_file(folder / METRICS) as file:
        file.write("".join(lines).encode())
    _write_table(folder)


def _write_table(folder: Path) -> None:
    rows = [flat(epoch) for epoch in read_metrics(folder / METRICS)]
    columns = {name: name for row in rows for name in row}
    with whole_file(folder / TABLE) as file:
        file.write(_csv([columns, *rows], columns).encode())


def _csv(rows: list[dict[str, Any]], columns: Iterable[str]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, list(columns), lineterminator="\n").writerows(rows)
    return text.getvalue()


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


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
