"""Files that appear whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file beside `path` that becomes `path` once all of it is on the disk, and goes if that fails.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    part = part_of(path)
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def part_of(path: Path) -> Path:
    """Return the name under which `path` is written; a process that was killed may have left it."""
    return path.with_name(f".{path.name}.part")


def sync_folder(path: Path) -> None:
    """Have the names in a folder survive a loss of power, where the system can be told."""
    if sys.platform == "win32":
        return
    opened = os.open(path, os.O_RDONLY)
    try:
        # Some network file systems do not know it; the content of the files is on the disk all the same.
        with suppress(OSError):
            os.fsync(opened)
    finally:
        os.close(opened)
