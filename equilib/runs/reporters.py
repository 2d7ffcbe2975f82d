"""Reporters of a run: a live bar on a terminal, timestamped lines elsewhere, JSON, or the last line only."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from equilib.errors import harmless, wrapped
from equilib.machine.ranks.group import current_ranks
from equilib.runs.files import json_values
from equilib.training.reporter import Reporter

if TYPE_CHECKING:
    from rich.progress import Progress, Task

LINE_EVERY = 10
"""Batches between two lines where there is no bar."""

ENDS = ("finished", "interrupted", "failed")
"""The events that end a run; each has "path", and "result" or "error" where there is one."""


class LineReporter(Reporter):
    """Timestamped lines, one for every tenth batch; none for tests, whose epoch has its line."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def line(self, text: str) -> None:
        """Print a line."""
        stamp = datetime.now().isoformat(timespec="milliseconds")
        print(f"[{stamp}] {harmless(text)}", file=self._stream, flush=True)

    def batch(self, title: str, index: int, count: int, loss: float | None = None) -> None:
        """Print a line for the batches 1, 11, 21, ... of training."""
        if loss is not None and index % LINE_EVERY == 1:
            self.line(f"{title} Batch: [{index:4d}/{count:4d}] Loss: {loss:.5f}")


def print_words(console: Any, text: str) -> None:
    """Print a text by rich as it is, broken between words only: the name of a folder is to be copied."""
    lines = "\n".join(wrapped(text, console.width))
    console.print(lines, markup=False, highlight=False, emoji=False, soft_wrap=True)


class BarReporter(Reporter):
    """A progress bar for the epoch at work, with its loss and the remaining time; above it the lines that stay."""

    def __init__(self, stream: TextIO, **settings: Any) -> None:
        # Deferred: rich is loaded only where somebody looks at it.
        from rich.console import Console

        self._console = Console(file=stream, **settings)
        self._bar: Progress | None = None
        self._title = ""

    def line(self, text: str) -> None:
        """Print a line above the bar; a bar that has reached its end is removed first."""
        if self._bar is not None:
            if self._bar.finished:
                self.close()
            else:
                self._bar.refresh()
        print_words(self._console, f"[{datetime.now():%H:%M:%S}] {harmless(text)}")

    def batch(self, title: str, index: int, count: int, loss: float | None = None) -> None:
        """Move the bar; a new title begins a new one."""
        text = "" if loss is None else f"loss {loss:.4f}"
        if self._bar is None or title != self._title:
            self.close()
            self._bar, self._title = self._make(title, count, text), title
            # Assigned first: an interruption of `start` must find the bar that is to be closed.
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=index, text=text)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _make(self, title: str, count: int, text: str) -> Progress:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.text import Text

        class Rate(TextColumn):
            """Batches per second, once two have been seen."""

            def render(self, task: Task) -> Text:
                """Return it."""
                return Text("" if task.speed is None else f"{task.speed:.1f}/s")

        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            Rate(""),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        bar.add_task(title, total=count, text=text)
        return bar


class QuietReporter(Reporter):
    """How the run ended, and nothing else."""

    def event(self, kind: str, text: str, fields: Mapping[str, Any]) -> None:
        """Print the last line of a run, with its result."""
        if kind in ENDS:
            print(harmless(". ".join(filter(None, (fields.get("result"), text)))), flush=True)


class JsonReporter(Reporter):
    """One JSON object per line: "event", "time", and the event's own fields; nan and the infinities are null."""

    def line(self, text: str) -> None:
        """Print the event "message"."""
        self._print("message", {"text": text})

    def event(self, kind: str, text: str, fields: Mapping[str, Any]) -> None:
        """Print the event."""
        self._print(kind, fields)

    def batch(self, title: str, index: int, count: int, loss: float | None = None) -> None:
        """Print the event "batch", or "test_batch" without a loss."""
        fields = {"title": title, "index": index, "count": count}
        if loss is None:
            self._print("test_batch", fields)
        else:
            self._print("batch", fields | {"loss": loss})

    def _print(self, kind: str, fields: Mapping[str, Any]) -> None:
        stamp = datetime.now().astimezone().isoformat(timespec="milliseconds")
        print(json.dumps(json_values({"event": kind, "time": stamp, **fields}), allow_nan=False), flush=True)


@contextmanager
def open_reporter(log: str = "auto", stream: TextIO | None = None) -> Iterator[Reporter]:
    """Yield the reporter that was asked for, and close it however the run ends.

    `log` is "quiet", "json", or "auto": what suits the stream, which is standard output unless a command whose own
    output is a table gives standard error. Of several ranks the first reports.
    """
    if current_ranks().rank:
        yield Reporter()
        return
    stream = stream or sys.stdout
    # A dumb terminal, as in an editor, cannot redraw a line.
    redraws = stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    fixed: dict[str, type[Reporter]] = {"quiet": QuietReporter, "json": JsonReporter}
    reporter = fixed[log]() if log in fixed else BarReporter(stream) if redraws else LineReporter(stream)
    try:
        yield reporter
    finally:
        reporter.close()
