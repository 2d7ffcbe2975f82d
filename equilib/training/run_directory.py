"""The files of one run: `run.json`, `metrics.jsonl`, `model.npz`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from equilib.arrays import to_host
from equilib.errors import RunError, UserError
from equilib.training.memory import peak_memory
from equilib.trees import Tree, named_leaves

RUN, METRICS, MODEL = "run.json", "metrics.jsonl", "model.npz"


class RunDirectory:
    """A folder that holds what a run was asked to do, how it went, and the model it ended with.

    Files appear whole or not at all: they are written beside their place and then moved there. Metrics are appended
    a line at a time. Numbers that JSON cannot hold, nan and the infinities, become null.

    Attributes
    ----------
    path : Path
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Create the folder and write `run.json` with the status "running".

        Files of an earlier run are removed, others stay.

        Raises
        ------
        UserError
            If the folder cannot be written.
        """
        self.path = path
        self._facts = {**facts, "status": "running", "started": _now()}
        try:
            path.mkdir(parents=True, exist_ok=True)
            for name in (RUN, METRICS, MODEL):
                (path / name).unlink(missing_ok=True)
            self._write_facts()
        except OSError as error:
            raise UserError(f"--out {path} cannot be written: {error.strerror or error}") from error

    @property
    def status(self) -> str:
        """How the run stands: "running", "finished", "interrupted" or "failed"."""
        return str(self._facts["status"])

    def add_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Append one line to `metrics.jsonl`.

        Raises
        ------
        RunError
            If the file cannot be written.
        """
        line = json.dumps(json_values(metrics), allow_nan=False) + "\n"
        with _run_errors(self.path / METRICS), (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.write(line)

    def save_model(self, params: Tree) -> None:
        """Write the parameters to `model.npz`, one array for each path such as 'deq/cell/recur/0/weight'.

        Raises
        ------
        RunError
            If the file cannot be written.
        """
        arrays = {name: to_host(leaf) for name, leaf in named_leaves(params)}
        path = self.path / MODEL
        with _run_errors(path), _whole(path) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def finish(self, status: str, results: Mapping[str, Any] | None = None, *, error: str | None = None) -> None:
        """Write into `run.json` how the run ended: "finished", "interrupted", or "failed" and by which error.

        Raises
        ------
        RunError
            If the file cannot be written.
        """
        self._facts |= {
            "status": status,
            "error": error,
            "ended": _now(),
            "peak_memory": peak_memory(),
            "results": dict(results or {}),
        }
        with _run_errors(self.path / RUN):
            self._write_facts()

    def _write_facts(self) -> None:
        text = json.dumps(json_values(self._facts), indent=2, allow_nan=False) + "\n"
        with _whole(self.path / RUN) as part:
            part.write_text(text, encoding="utf-8")


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yield a place beside `path` that becomes `path` once it is written, and goes if that fails."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _run_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from error


def json_values(value: Any) -> Any:
    """Return `value` as JSON can hold it: nan and the infinities as null, what it does not know as text."""
    if isinstance(value, Mapping):
        return {str(key): json_values(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


def check_out(path: Path, *, overwrite: bool) -> None:
    """Refuse a place for a run before any work is done.

    Raises
    ------
    UserError
        If the folder holds files and is not to be overwritten, or cannot be written.
    """
    try:
        _refuse(path, overwrite=overwrite)
    except OSError as error:
        raise UserError(f"--out {path} cannot be used: {error.strerror or error}") from error


def _refuse(path: Path, *, overwrite: bool) -> None:
    if path.exists() and not path.is_dir():
        raise UserError(f"--out {path} is a file; give a folder")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise UserError(f"--out {path} is not empty; give another folder, or --overwrite to replace the run in it")
    nearest = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not nearest.is_dir():
        raise UserError(f"--out {path} cannot be created: {nearest} is a file; give another folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"--out {path} cannot be written: no permission to write in {nearest}; give another folder")


def default_out(experiment: str) -> Path:
    """Return a folder under `runs/` that does not exist, named after the experiment and the time."""
    stem = f"{experiment}-{datetime.now():%Y%m%d-%H%M%S}"
    candidates = (Path("runs") / (stem if n == 1 else f"{stem}-{n}") for n in range(1, 1000))
    return next(path for path in candidates if not path.exists())


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")
