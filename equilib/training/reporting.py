"""What a person sees of a run: a live bar on a terminal, timestamped lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol, TextIO

LINE_EVERY = 10
"""Batches between two lines where there is no bar."""


class Reporter(Protocol):
    """**Protocol:** where the progress of a run goes."""

    def line(self, text: str) -> None:
        """Say something that stays."""

    def batch(self, title: str, index: int, count: int, loss: float) -> None:
        """Report batch `index` of `count`, counted from 1."""

    def close(self) -> None:
        """Finish the line that is being written."""


class LineReporter:
    """Timestamped lines, one for every tenth batch."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def line(self, text: str) -> None:
        """Print a line."""
        print(f"[{datetime.now().isoformat(timespec='milliseconds')}] {text}", file=self._stream, flush=True)

    def batch(self, title: str, index: int, count: int, loss: float) -> None:
        """Print a line for the batches 1, 11, 21, ..."""
        if index % LINE_EVERY == 1:
            self.line(f"{title} Batch: [{index:4d}/{count:4d}] Loss: {loss:.5f}")

    def close(self) -> None:
        """Do nothing: every line is finished when it is printed."""


class BarReporter:
    """A progress bar for the epoch at work, with rate and remaining time, above it the lines that stay."""

    def __init__(self) -> None:
        # Deferred: rich is loaded only where somebody looks at it.
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(),
            transient=True,
        )
        self._title = ""
        self._bar.start()

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(f"[{datetime.now():%H:%M:%S}] {text}", markup=False, highlight=False)

    def batch(self, title: str, index: int, count: int, loss: float) -> None:
        """Move the bar, starting it anew for a new title."""
        if title != self._title:
            for task in self._bar.task_ids:
                self._bar.remove_task(task)
            self._bar.add_task(title, total=count, loss=loss)
            self._title = title
        self._bar.update(self._bar.task_ids[-1], completed=index, loss=loss)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()


@contextmanager
def open_reporter() -> Iterator[Reporter]:
    """Yield the reporter that suits standard output, and close it however the run ends."""
    reporter: Reporter = BarReporter() if sys.stdout.isatty() else LineReporter()
    try:
        yield reporter
    finally:
        reporter.close()
