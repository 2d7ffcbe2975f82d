"""Report files, written from the folders of runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equilib.errors import file_errors
from equilib.kernels import require_choice
from equilib.machine.devices import find_device
from equilib.machine.process import prepare_process
from equilib.plugin.registry import Registry
from equilib.report import page
from equilib.report.curves import solver_charts, training_charts
from equilib.report.drawing import remove_pictures, save_charts
from equilib.report.findings import Findings, try_measure
from equilib.report.run import ReportedRun, read_runs
from equilib.report.traces import trace_chart
from equilib.runs.files import refuse_link, whole_file
from equilib.training.reporter import Reporter

PAGE = "report.html"
LIMIT = 1000
"""Test samples that are looked at."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """The files of a report, and a sentence for each thing that is missing in it."""

    page: Path
    pictures: list[Path]
    missing: list[str]


def write_report(
    paths: Sequence[Path],
    registry: Registry,
    *,
    reporter: Reporter,
    out: Path | None = None,
    limit: int = LIMIT,
    **changes: Any,
) -> Written:
    """Write `report.html` and its pictures, in place of an earlier report in the folder `out`.

    By default it goes into the folder of a single run, or beside where the command is given.
    The first `limit` test samples are looked at. `changes` replace what the runs' requests record: data_dir, device,
    kernels.

    Raises UserError if a folder holds no run, `out` cannot be written, or the `device` or `kernels` are not here.
    """
    _require_changes(**changes)
    runs = read_runs(paths)
    folder = out or (paths[0] / "report" if len(paths) == 1 else Path("report"))
    if out is None:
        refuse_link(folder)
    with file_errors(f"--out {folder} cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
    prepare_process()
    tested = [try_measure(run, registry, reporter=reporter, limit=limit, **changes) for run in runs]
    with file_errors(f"--out {folder} cannot be written"):
        return _write(runs, tested, folder)


def _require_changes(*, device: str | None = None, kernels: str | None = None, **others: Any) -> None:
    """Refuse what cannot be here, whatever the runs recorded: as a cause of what is missing it would be overlooked."""
    if device is not None:
        find_device(device)
    if kernels is not None:
        require_choice(kernels)


def _missing(run: ReportedRun, tested: Findings | None, reason: str | None) -> Iterator[str]:
    for damage in run.damages:
        yield f"{run.label}: {damage}"
    if reason:
        yield f"{run.label}: {reason}"
    if tested and not tested.same_data:
        yield f"{run.label}: tested on data that is not its own; give the folder with its data as --data-dir"


def _write(runs: list[ReportedRun], tested: list[tuple[Findings | None, str | None]], folder: Path) -> Written:
    single = len(runs) == 1
    training, solver = training_charts(runs), solver_charts(runs)
    trace = trace_chart(runs, [found for found, _ in tested])
    solver += [trace] if trace else []
    with whole_file(folder / PAGE) as file:
        file.write(page.render(runs, tested, training=training, solver=solver).encode(errors="backslashreplace"))
    remove_pictures(folder)
    pictures = save_charts([*training, *solver], folder, single=single)
    missing = [sentence for run, each in zip(runs, tested, strict=True) for sentence in _missing(run, *each)]
    return Written(page=folder / PAGE, pictures=pictures, missing=missing)
