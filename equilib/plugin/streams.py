"""Standard streams while a plugin is imported, which prints to none of the command's output and closes nothing."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

OUT, ERR = 1, 2
"""Descriptors of the standard streams."""

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
    """Have what is printed while a plugin is imported go to standard error, and put both streams back afterwards.

    What programs that it runs and libraries in C print is no exception.
    """
    with _printing, _descriptor_aside():
        streams = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = None if sys.stderr is None else _Lent(sys.stderr)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = streams


@contextmanager
def _descriptor_aside() -> Iterator[None]:
    with suppress(AttributeError, OSError, ValueError):  # it is None, broken or closed
        sys.stdout.flush()  # what waits there is the command's
    try:
        own = os.dup(OUT)
    except OSError:  # closed, as by `>&-`
        yield
        return
    try:
        with suppress(OSError):
            os.dup2(ERR, OUT)
        yield
    finally:
        os.dup2(own, OUT)
        os.close(own)
