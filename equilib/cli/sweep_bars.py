"""Bars of a sweep: one for each run at work, on a terminal; elsewhere lines about those that ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from equilib.commands.sweep import ProgramRun
from equilib.runs.reporters import print_words


class Lines:
    """Lines about runs that ended."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def show(self, runs: Sequence[ProgramRun]) -> None:
        """Say nothing of those at work."""


class Bars:
    """A bar for each run at work, and lines above them; `progress` is rich's."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._tasks: dict[ProgramRun, Any] = {}

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        print_words(self._progress.console, line)

    def show(self, runs: Sequence[ProgramRun]) -> None:
        """Move the bars of those at work, and remove those of others."""
        for run in [each for each in self._tasks if each not in runs]:
            self._progress.remove_task(self._tasks.pop(run))
        for run in runs:
            title, index, count = run.place()
            if run not in self._tasks:
                self._tasks[run] = self._progress.add_task(run.combination.name, total=count, text="")
            self._progress.update(self._tasks[run], completed=index, total=count, text=title)


@contextmanager
def sweep_bars(say: Callable[[str], None]) -> Iterator[Lines | Bars]:
    """Yield what shows a sweep on standard error: bars on a terminal, else what `say` does with lines."""
    if not sys.stderr.isatty():
        yield Lines(say)
        return
    from rich.console import Console  # deferred: rich is loaded only where somebody looks at it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    title = TextColumn("{task.fields[text]}", markup=False)
    with Progress(*columns, title, console=Console(stderr=True), transient=True) as progress:
        yield Bars(progress)
