"""Program `equilib`: signals end it without a traceback from its first moment, while it imports what it needs.

It lies outside the package because `import equilib` takes a good part of that time.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType


def main() -> int:
    """Run the command line and return its exit status."""
    _answer_signals(_end)
    # Registered first, it is called last: after it the interpreter takes handlers away, and a signal would kill it.
    atexit.register(_answer_signals, signal.SIG_IGN)
    # Deferred: signals come first.
    from equilib.cli import main as run

    status = run()
    # What the interpreter would say of a stream that nobody reads, once it ends, is known.
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # a plugin may have put something else in its place, or closed it
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            status = status or 1
    return status


def _answer_signals(how: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, how)


def _end(number: int, frame: FrameType | None) -> None:
    # Nothing is being written yet, or any more; an exception could be lost in the import of an extension module.
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
