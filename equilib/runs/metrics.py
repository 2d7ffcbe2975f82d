"""Metrics of each epoch in files: lines of JSON, and a table."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from stat import S_IFREG, S_ISDIR, S_ISREG
from typing import Any

from equilib.errors import file_errors, said
from equilib.machine.memory import require_file
from equilib.runs.files import json_values, read_json, whole_file
from equilib.runs.schemas import odd_metrics

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a text begins with that a spreadsheet takes for a formula."""

METRICS, TABLE = "metrics.jsonl", "metrics.csv"


def append_line(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Add an epoch to the lines in a folder; it is on the disk when this returns."""
    _append(folder / METRICS, json.dumps(json_values(metrics), allow_nan=False) + "\n")


def append_row(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Add an epoch, the last of the lines, to the table in a folder; it is on the disk when this returns.

    A column that turns up later, as a status does when it first occurs, is added to the whole table.
    """
    row, table = flat(json_values(metrics)), folder / TABLE
    _refuse_pipe(table, table.stat().st_mode if table.exists() else S_IFREG)
    columns = table.read_text("utf-8", "replace").partition("\n")[0].split(",") if table.exists() else []
    if row.keys() <= set(columns):
        _append(table, _csv([row], columns))
    else:
        _write_table(folder)


def keep_metrics(folder: Path, count: int) -> None:
    """Drop what follows the first `count` epochs; one whose line was damaged keeps its place, empty."""
    lines = [json.dumps(json_values(each), allow_nan=False) + "\n" for each in read_metrics(folder / METRICS)[:count]]
    with whole_file(folder / METRICS) as file:
        file.write("".join(lines).encode())
    _write_table(folder)


def _write_table(folder: Path) -> None:
    rows = [flat(epoch) for epoch in read_metrics(folder / METRICS)]
    columns = {name: name for row in rows for name in row}
    with whole_file(folder / TABLE) as file:
        file.write(_csv([columns, *rows], columns).encode(errors="backslashreplace"))


def _csv(rows: list[dict[str, Any]], columns: Iterable[str]) -> str:
    text = io.StringIO()
    plain = [{name: _cell(value) for name, value in row.items()} for row in rows]
    csv.DictWriter(text, list(columns), lineterminator="\n").writerows(plain)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Return a value as a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _append(path: Path, text: str) -> None:
    # A link that somebody put there is not followed, and nobody waited for who would read a pipe.
    kind = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    opened = os.open(path, kind, 0o666)
    with open(opened, "ab") as file:
        _refuse_pipe(path, os.fstat(opened).st_mode)
        file.write(text.encode(errors="backslashreplace"))
        file.flush()
        os.fsync(file.fileno())


def _refuse_pipe(path: Path, mode: int) -> None:
    if not (S_ISREG(mode) or S_ISDIR(mode)):  # a folder says so itself
        raise OSError(errno.EINVAL, "it is a pipe or a device", str(path))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return what was recorded of each epoch, {} where its line is damaged; a last line that was cut short is none."""
    return read_lines(path)[0]


def read_lines(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the same, and a sentence for each line that is damaged, or holds a value of another kind.

    Raises UserError if the file cannot be read.
    """
    with file_errors(f"{path} cannot be read"):
        if path.exists():
            require_file(path)
        content = path.read_bytes() if path.exists() else b""
    epochs, flaws = [], []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        epoch: Any = None
        try:
            epoch = read_json(line)
            flawed = None if isinstance(epoch, dict) else "it holds no object"
        except ValueError as error:
            flawed = said(error)
        if flawed:
            flaws.append(f"line {number} of {path.name} is damaged and left out ({flawed})")
            epoch = {}
        for text, place in [*odd_metrics(epoch)]:
            flaws.append(f"line {number} of {path.name}: {text}; it is left out")
            within = epoch
            for key in place[:-1]:
                within = within[key]
            within[place[-1]] = None
        epochs.append(epoch)
    return epochs, flaws


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values side by side, named by their path, as in "test.residual"."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found
