"""Folder of one run: `run.json`, `metrics.jsonl`, `metrics.csv`, `model.npz`, and its lock."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from equilib.arrays import Tree, to_host
from equilib.errors import RunError, UserError, file_errors
from equilib.machine.process import peak_memory
from equilib.runs import checkpoints
from equilib.runs.arrays_file import write_arrays
from equilib.runs.files import json_values, part_of, refuse_link, remove_files, typed, whole_file
from equilib.runs.keys import distinct_leaves
from equilib.runs.metrics import METRICS, TABLE, append_line, append_row, keep_metrics

RUN, MODEL, EVENTS = "run.json", "model.npz", "tensorboard"
_FILES = (RUN, METRICS, TABLE, MODEL)
_FINAL_FACTS = ("error", "ended", "peak_memory", "results", "best")


class RunDirectory:
    """A folder that holds what a run was asked to do, how it went, and the model it ended with.

    Files appear whole or not at all: they are written beside their place and then moved there. Metrics are appended
    a line at a time. Numbers that JSON cannot hold, nan and the infinities, become null.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any], *, epochs: int | None = None) -> None:
        """Write `run.json` with the status "running" into a folder that is made where there is none.

        Files of an earlier run are removed, others stay; but `epochs` goes on with that run, whose metrics of its first
        so many epochs are kept. Raises UserError if the folder cannot be written.
        """
        self.path = path
        self._facts = {**facts, "status": "running"}
        if epochs is None:
            self._facts["started"] = _now()
        with file_errors(f"{'--out ' if epochs is None else ''}{path} cannot be written"):
            path.mkdir(parents=True, exist_ok=True)
            self._place = _place(path)
            for name in (checkpoints.FOLDER, EVENTS):
                refuse_link(path / name)
            if epochs is None:
                _remove_run(path)
            else:
                self._keep(epochs)
            self._write_facts()

    @property
    def is_there(self) -> bool:
        """Whether the folder is the one that the run began in, and not moved away, removed or another."""
        with suppress(OSError):
            return _place(self.path) == self._place
        return False

    def require_own(self) -> None:
        """Require that the run's folder is in its place; raises RunError if it is gone, or another is there."""
        if not self.path.exists():
            raise RunError(
                f"{self.path} is gone: it was moved away or removed, and nothing more of the run can be written; where "
                "it was moved to, equilib resume goes on"
            )
        if self.path.is_dir() and not self.is_there:
            raise RunError(
                f"{self.path} is another folder than the run began in, which was moved away or removed: nothing is "
                "written into it; where it was moved to, equilib resume goes on"
            )

    def _keep(self, epochs: int) -> None:
        for name in _FINAL_FACTS:
            self._facts.pop(name, None)
        for name in _FILES:
            part_of(self.path / name).unlink(missing_ok=True)
        remove_files(self.path / checkpoints.FOLDER, checkpoints.SCRAPS)
        keep_metrics(self.path, epochs)

    @property
    def facts(self) -> Mapping[str, Any]:
        """The content of `run.json`, as it is written there."""
        return json_values(self._facts)  # type: ignore[no-any-return]

    @property
    def status(self) -> str:
        """How the run stands: "running", "finished", "interrupted" or "failed"."""
        return str(self._facts["status"])

    def add_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Append an epoch to `metrics.jsonl` and `metrics.csv`; raises RunError if a file cannot be written."""
        self.require_own()
        for file, append in ((METRICS, append_line), (TABLE, append_row)):
            with run_errors(self.path / file):
                append(self.path, metrics)

    def save_model(self, params: Tree) -> None:
        """Write the parameters to `model.npz`, one array for each path such as 'deq/cell/recur/0/weight'.

        Raises RunError if the file cannot be written.
        """
        self.require_own()
        leaves, comment = distinct_leaves(params)
        path = self.path / MODEL
        with run_errors(path), whole_file(path) as file:
            arrays = {name: to_host(leaf) for name, _, leaf in leaves}
            write_arrays(file, arrays, {name: keys for name, keys, _ in leaves}, comment)

    def finish(
        self,
        status: str,
        results: Mapping[str, Any] | None = None,
        *,
        best: Mapping[str, Any] | None = None,
        error: str | None = None,
    ) -> None:
        """Write into `run.json` how the run ended: "finished", "interrupted", or "failed" and by which error.

        Raises RunError if the file cannot be written.
        """
        self._facts |= {
            "status": status,
            "error": error,
            "ended": _now(),
            "peak_memory": peak_memory(),
            "results": dict(results or {}),
            "best": best,
        }
        self.require_own()
        with run_errors(self.path / RUN):
            self._write_facts()

    def _write_facts(self) -> None:
        text = json.dumps(json_values(self._facts), indent=2, allow_nan=False) + "\n"
        with whole_file(self.path / RUN) as file:
            file.write(text.encode())


def _place(path: Path) -> tuple[int, int]:
    """Return what tells a folder from any other that has its name; raises OSError if there is none."""
    found = path.stat()
    return found.st_dev, found.st_ino


def _remove_run(path: Path) -> None:
    for name in _FILES:
        (path / name).unlink(missing_ok=True)
        part_of(path / name).unlink(missing_ok=True)
    remove_files(path / checkpoints.FOLDER, checkpoints.FILES, checkpoints.SCRAPS)
    remove_files(path / EVENTS, "events.out.tfevents.*")


def run_errors(path: Path, *, then: str = "equilib resume goes on") -> AbstractContextManager[None]:
    """Make an error of the file system a RunError that names `path` and how to go on."""
    return file_errors(f"{path} cannot be written", f"; once it can be, {then}", error=RunError)


def check_out(path: Path, *, overwrite: bool) -> None:
    """Refuse a place for a run before any work is done.

    Raises UserError if the folder holds files and is not to be overwritten, or cannot be written.
    """
    with file_errors(f"--out {path} cannot be used"):
        if path.exists() and not path.is_dir():
            raise UserError(f"--out {path} is a file; give a folder")
        if path.is_dir() and any(path.iterdir()) and not overwrite:
            resume = f", or go on with it: {typed('resume', path)}" if (path / RUN).exists() else ""
            raise UserError(
                f"--out {path} is not empty; give another folder, or --overwrite to replace the run in it{resume}"
            )
        nearest = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
        if not nearest.is_dir():
            raise UserError(f"--out {path} cannot be created: {nearest} is a file; give another folder")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise UserError(f"--out {path} cannot be written: no permission to write in {nearest}; give another folder")


def refuse_trained(path: Path, status: object) -> None:
    """Refuse to begin a run again where something of it is trained: what there is would be lost.

    Metrics of a run that was killed, whose status is "running", before its first checkpoint are no reason: they come
    again.

    Raises UserError if the folder holds a model, checkpoints, or metrics of an epoch.
    """
    found = {
        "a model": (path / MODEL).exists(),
        "checkpoints": bool(checkpoints.checkpoint_paths(path)),
        "metrics": status != "running" and (path / METRICS).exists() and (path / METRICS).stat().st_size > 0,
    }
    there = [what for what, is_there in found.items() if is_there]
    if there:
        raise UserError(
            f"the run in {path} has {' and '.join(there)}, and no checkpoint that it can go on from: it is not begun "
            "again over them; put a checkpoint back, or move the folder away and train anew"
        )


def put_metrics_aside(path: Path) -> None:
    """Keep the metrics of a run that begins again, under another name; raises UserError if that is not possible."""
    with file_errors(f"{path / METRICS} cannot be moved"):
        if (path / METRICS).exists():
            (path / METRICS).replace(path / f"{METRICS}.before")


def make_default_out(experiment: str) -> Path:
    """Make a folder as `default_out` names it, and return it; nobody else has it.

    Raises OSError if it cannot be made.
    """
    while True:
        path = default_out(experiment)
        try:
            path.mkdir(parents=True)
        except FileExistsError:  # another process was faster
            if path.exists():
                continue
            raise
        return path


def default_out(experiment: str) -> Path:
    """Return a folder under `runs/` that does not exist, named after the experiment and the time."""
    stem = f"{experiment}-{datetime.now():%Y%m%d-%H%M%S}"
    candidates = (Path("runs") / (stem if n == 1 else f"{stem}-{n}") for n in count(1))
    return next(path for path in candidates if not path.exists())


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


if sys.platform != "win32":
    import fcntl


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, which the system lets go when the process ends, however it ends.

    Where the file system knows no locks, nothing is held.

    Raises UserError if another process holds it.
    """
    if sys.platform == "win32":
        yield
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise UserError(
                    f"another process is at work on the run in {folder}; wait for it, or stop it first"
                ) from error
        yield
    finally:
        os.close(opened)
