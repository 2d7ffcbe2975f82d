"""Program `equilib`: signals end it without a traceback from its first moment, while it imports what it needs.

It lies outside the package because `import equilib` takes a good part of that time.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def main() -> int:
    """Run the command line and return its exit status."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, _end)
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


def _end(number: int, frame: FrameType | None) -> None:
    # Nothing is being written yet, or any more; an exception could be lost in the import of an extension module.
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
