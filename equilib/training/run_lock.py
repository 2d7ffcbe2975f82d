"""One process at a time works on a run."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from equilib.errors import UserError

if sys.platform != "win32":
    import fcntl


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, which the system lets go when the process ends, however it ends.

    Where the file system knows no locks, nothing is held.

    Raises
    ------
    UserError
        If another process holds it.
    """
    if sys.platform == "win32":
        yield
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise UserError(
                    f"another process is at work on the run in {folder}; wait for it, or stop it first"
                ) from error
        yield
    finally:
        os.close(opened)
