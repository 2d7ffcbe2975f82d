"""The files of one run: `run.json`, `metrics.jsonl`, `model.npz`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from equilib.arrays import to_host
from equilib.errors import RunError, UserError
from equilib.trees import Tree, named_leaves

RUN, METRICS, MODEL = "run.json", "metrics.jsonl", "model.npz"


class RunDirectory:
    """A folder that holds what a run was asked to do, how it went, and the model it ended with.

    Files appear whole or not at all: they are written beside their place and then moved there. Metrics are appended
    a line at a time.

    Attributes
    ----------
    path : Path
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Create the folder and write `run.json` with the status "running".

        Raises
        ------
        UserError
            If the folder cannot be written.
        """
        self.path = path
        self._facts = dict(facts)
        try:
            path.mkdir(parents=True, exist_ok=True)
            for name in (RUN, METRICS, MODEL):
                (path / name).unlink(missing_ok=True)
            self._write_facts(status="running", started=_now())
        except OSError as error:
            raise UserError(f"--out {path} cannot be written: {error.strerror or error}") from error

    def add_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Append one line to `metrics.jsonl`.

        Raises
        ------
        RunError
            If the file cannot be written.
        """
        try:
            with (self.path / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(metrics) + "\n")
        except OSError as error:
            raise RunError(f"{self.path / METRICS} cannot be written: {error.strerror or error}") from error

    def save_model(self, params: Tree) -> None:
        """Write the parameters to `model.npz`, one array for each path such as 'deq/cell/recur/0/weight'.

        Raises
        ------
        RunError
            If the file cannot be written.
        """
        arrays = {name: to_host(leaf) for name, leaf in named_leaves(params)}
        whole, part = self.path / MODEL, self.path / f".{MODEL}.part"
        try:
            with part.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            part.replace(whole)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise RunError(f"{whole} cannot be written: {error.strerror or error}") from error

    def finish(self, status: str, results: Mapping[str, Any] | None = None) -> None:
        """Write into `run.json` how the run ended: "finished", "interrupted" or "failed"."""
        self._write_facts(status=status, ended=_now(), results=dict(results or {}))

    def _write_facts(self, **facts: Any) -> None:
        self._facts.update(facts)
        part = self.path / f".{RUN}.part"
        part.write_text(json.dumps(self._facts, indent=2, default=str) + "\n", encoding="utf-8")
        part.replace(self.path / RUN)


def check_out(path: Path, *, overwrite: bool) -> None:
    """Refuse a place for a run before any work is done.

    Raises
    ------
    UserError
        If the folder holds files and is not to be overwritten, or cannot be written.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"--out {path} is a file; give a folder")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise UserError(f"--out {path} is not empty; give another folder, or --overwrite to replace the run in it")
    nearest = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
        raise UserError(f"--out {path} cannot be written: no permission to write in {nearest}")


def default_out(experiment: str) -> Path:
    """Return a folder under `runs/` that does not exist, named after the experiment and the time."""
    stem = f"{experiment}-{datetime.now():%Y%m%d-%H%M%S}"
    candidates = (Path("runs") / (stem if n == 1 else f"{stem}-{n}") for n in range(1, 1000))
    return next(path for path in candidates if not path.exists())


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")
