"""Output of commands: aligned text for people, JSON for machines."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence

import click

from equilib.errors import harmless, wrapped
from equilib.runs.files import json_values

_PROSE = 88  # a line of prose longer than this is hard to read
_NARROW = 32  # prose in a column narrower than this is hard to read as well

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
    """Align `rows` under `header`; wrap the last column to `width` characters, or not at all if that is None.

    Where the others leave too little of the width, or for a word, the last column stands beneath them; where they are
    wider, each row is a block of lines with the header's words before its cells.
    """
    rows = [[harmless(cell) for cell in row] for row in rows]
    columns = list(zip(header, *rows, strict=True))
    sizes = [max(len(cell) for cell in column) for column in columns[:-1]]
    indent, longest = sum(size + 2 for size in sizes), max(map(len, columns[-1]))
    if width is not None and indent - 2 > width:
        return "\n\n".join(_block(header, row, width) for row in rows)
    words = max(map(_longest_word, columns[-1]))
    beneath = width is not None and longest > width - indent < max(_NARROW, words)
    lines = []
    for row in (header, *rows):
        lead = "".join(f"{cell:<{size + 2}}" for cell, size in zip(row, sizes, strict=False))
        room = longest + 1 if width is None else max(width - (4 if beneath else indent), 1)
        last = wrapped(row[-1], room) if width is not None else [row[-1]]
        first = [] if beneath else last[:1]
        lines.append("".join((lead, *first)).rstrip())
        lines.extend(" " * (4 if beneath else indent) + rest for rest in last[len(first) :])
    return "\n".join(lines)


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _block(header: Sequence[str], row: Sequence[str], width: int | None) -> str:
    """Return a row as lines of "HEADER  cell", none of them wrapped without a width.

    A cell with a word that is too long to stand beside its header stands beneath it.
    """
    size = max(map(len, header)) + 2
    lines = []
    for name, cell in zip(header, row, strict=True):
        texts = [cell] if width is None else wrapped(cell, max(width - size, 1))
        if width is not None and _longest_word(cell) > width - size:
            lines += [*filter(None, [name]), *(f"  {text}" for text in wrapped(cell, max(width - 2, 1)))]
            continue
        lines += [f"{label:<{size}}{text}" for label, text in zip([name, *[""] * len(texts)], texts, strict=False)]
    return "\n".join(lines)


def labelled(rows: Sequence[tuple[str, str]]) -> str:
    """Return a line for each label and its text, aligned, and wrapped on a terminal."""
    header, texts = zip(*((label, harmless(text)) for label, text in rows), strict=True)
    return _block(header, texts, terminal_width())


def line(text: str) -> str:
    """Return a line as it is; on a terminal wrapped between words, so that what is to be typed is whole."""
    width = terminal_width()
    return text if width is None else "\n".join(wrapped(text, width))


def paragraph(text: str) -> str:
    """Wrap prose for reading."""
    return "\n".join(wrapped(" ".join(text.split()), min(_PROSE, shutil.get_terminal_size().columns)))


def terminal_width() -> int | None:
    """Return the width to wrap tables to; None where the output is a file or a pipe, which wants whole lines."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
