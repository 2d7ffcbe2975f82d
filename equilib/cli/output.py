"""Output of commands: aligned text for people, JSON for machines."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence

import click

from equilib.errors import harmless
from equilib.runs.files import json_values

_PROSE = 88  # a line of prose longer than this is hard to read
_NARROW = 20  # a last column narrower than this is harder to read than a line that overflows

FAILED = 1
"""The exit status of a command that finds something wrong."""

JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(value: object) -> None:
    """Print plain values; nan and the infinities are null."""
    click.echo(as_text(value))


def as_text(value: object) -> str:
    """Return plain values as JSON."""
    return json.dumps(json_values(value), indent=2, allow_nan=False)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned rows, wrapped on a terminal."""
    click.echo(table(header, rows, width=terminal_width()))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """Align `rows` under `header`; wrap the last column to `width` characters, or not at all if that is None."""
    rows = [[harmless(cell) for cell in row] for row in rows]
    columns = list(zip(header, *rows, strict=True))
    sizes = [max(len(cell) for cell in column) for column in columns[:-1]]
    indent = sum(size + 2 for size in sizes)
    lines = []
    for row in (header, *rows):
        lead = "".join(f"{cell:<{size + 2}}" for cell, size in zip(row, sizes, strict=False))
        last = [row[-1]] if width is None else textwrap.wrap(row[-1], max(width - indent, _NARROW)) or [""]
        lines.append(f"{lead}{last[0]}".rstrip())
        lines.extend(" " * indent + rest for rest in last[1:])
    return "\n".join(lines)


def paragraph(text: str) -> str:
    """Wrap prose for reading."""
    return textwrap.fill(" ".join(text.split()), min(_PROSE, shutil.get_terminal_size().columns))


def terminal_width() -> int | None:
    """Return the width to wrap tables to; None where the output is a file or a pipe, which wants whole lines."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
