"""What a benchmark hands to a contestant, a process of its own, and what comes back: a folder of arrays and JSON.

Contestants run in environments that have NumPy but not equilib, so this file imports nothing else.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
Arrays = dict[str, np.ndarray]
STDERR = 2
"""Where a contestant's output goes: stdout is for the table."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")


@dataclass(frozen=True)
class Finished:
    """What a contestant left: arrays, a report of plain values, and the wall time of its whole process."""

    arrays: Arrays
    report: dict[str, Any]
    seconds: float


def run_contestant(
    python: Path, module: str, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any], *, threads: int
) -> Finished:
    """Run `python -m module` on these arrays and settings, with as many threads and cores as `threads`.

    Raises
    ------
    SystemExit
        If the process failed; its own message goes to stderr.
    """
    # Deferred: contestants, whose time counts, have no use for them.
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), "given", arrays, {**settings, "threads": threads})
        start = perf_counter()
        command = [str(python), "-m", module, folder]
        done = subprocess.run(command, cwd=ROOT, env=_environment(threads), check=False, stdout=STDERR)
        seconds = perf_counter() - start
        if done.returncode:
            raise SystemExit(f"{module} ended with code {done.returncode}; its own message stands above")
        return Finished(*read(Path(folder), "found"), seconds)


def _environment(threads: int) -> dict[str, str]:
    # A contestant's packages are those of its own environment.
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return kept | dict.fromkeys(THREADS, str(threads)) | {"PYTHONUTF8": "1"}


def receive() -> tuple[Path, Arrays, dict[str, Any]]:
    """Return, in a contestant, its folder and what lies in it; confine the process to its number of cores."""
    folder = Path(sys.argv[1])
    arrays, settings = read(folder, "given")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: settings["threads"]])
    return folder, arrays, settings


def hand_back(folder: Path, arrays: Mapping[str, np.ndarray], report: Mapping[str, Any]) -> None:
    """Leave, in a contestant, what was found, and the peak of its memory."""
    write(folder, "found", arrays, {**report, "peak_rss_mb": peak_memory()})


def write(folder: Path, name: str, arrays: Mapping[str, np.ndarray], values: Mapping[str, Any]) -> None:
    """Write name.npz and name.json."""
    np.savez(folder / f"{name}.npz", **arrays)
    (folder / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")


def read(folder: Path, name: str) -> tuple[Arrays, dict[str, Any]]:
    """Read name.npz and name.json."""
    with np.load(folder / f"{name}.npz") as file:
        arrays = dict(file)
    return arrays, json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def peak_memory() -> float | None:
    """Return the largest resident size of this process so far in MB; None where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    # Not getrusage: its maximum outlives exec, so that a child inherits the size of the parent.
    line = next(line for line in status.read_text(encoding="ascii", errors="replace").splitlines() if "VmHWM" in line)
    return round(int(line.split()[1]) / 1024, 1)
