"""Bars of a sweep."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from equilib.cli.sweep_bars import Bars
from equilib.commands.combinations import Combination
from equilib.commands.sweep import ProgramRun


def test_each_run_at_work_has_a_bar(tmp_path: Path) -> None:
    """A bar stands where its run is, goes when that ends, and lines are printed as they are."""
    runs = [
        ProgramRun(Combination(name=name, solver="picard", adjoint=None), tmp_path / name) for name in ("a[b]", "c")
    ]
    for batch, run in enumerate(runs, start=7):
        run.log.write_text(f"[12:00] Epoch: [2/3] Batch: [  {batch}/  25] Loss: 0.5\n")
    printed = io.StringIO()
    progress = Progress(console=Console(file=printed))
    bars = Bars(progress)
    bars.show(runs)
    shown = [(task.description, task.completed, task.total, task.fields["text"]) for task in progress.tasks]
    assert shown == [("a[b]", 7, 25, "Epoch: [2/3]"), ("c", 8, 25, "Epoch: [2/3]")]
    bars.show(runs[1:])
    assert [task.description for task in progress.tasks] == ["c"]
    bars.say("[1/2] a[b] finished")
    assert printed.getvalue() == "[1/2] a[b] finished\n"
