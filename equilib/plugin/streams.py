"""Standard streams while a plugin is imported, which prints to none of the command's output and closes nothing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_printing = threading.RLock()


class _Lent:
    """A stream for somebody who must not close it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        """Leave it open."""


@contextmanager
def printed_aside() -> Iterator[None]:
    """Have what is printed while a plugin is imported go to standard error, and put both streams back afterwards."""
    with _printing:
        streams = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = None if sys.stderr is None else _Lent(sys.stderr)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = streams
