"""Aligned text for people."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

_PROSE = 88  # a line of prose longer than this is hard to read
_NARROW = 20  # a last column narrower than this is harder to read than a line that overflows


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """Align `rows` under `header`; wrap the last column to `width` characters, or not at all if that is None."""
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
