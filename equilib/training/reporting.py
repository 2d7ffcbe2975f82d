"""What a person sees of a run: a live bar on a terminal, timestamped lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

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
    """A progress bar for the epoch at work, with its loss and the remaining time; above it the lines that stay."""

    def __init__(self, console: Console | None = None) -> None:
        # Deferred: rich is loaded only where somebody looks at it.
        from rich.console import Console

        self._console = console or Console()
        self._bar: Progress | None = None
        self._title = ""

    def line(self, text: str) -> None:
        """Print a line above the bar; a bar that has reached its end is removed first."""
        if self._bar is not None:
            if self._bar.finished:
                self.close()
            else:
                self._bar.refresh()
        self._console.print(f"[{datetime.now():%H:%M:%S}] {text}", markup=False, highlight=False, emoji=False)

    def batch(self, title: str, index: int, count: int, loss: float) -> None:
        """Move the bar; a new title begins a new one."""
        if self._bar is None or title != self._title:
            self.close()
            self._bar, self._title = self._make(title, count, loss), title
            # Assigned first: an interruption of `start` must find the bar that is to be closed.
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=index, loss=loss)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _make(self, title: str, count: int, loss: float) -> Progress:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        bar.add_task(title, total=count, loss=loss)
        return bar


@contextmanager
def open_reporter() -> Iterator[Reporter]:
    """Yield the reporter that suits standard output, and close it however the run ends."""
    # A dumb terminal, as in an editor, cannot redraw a line.
    redraws = sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    reporter: Reporter = BarReporter() if redraws else LineReporter()
    try:
        yield reporter
    finally:
        reporter.close()
