"""Where runs ran: what their times depend on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def machine(threads: int) -> dict[str, Any]:
    """Return processor, cores, threads and Python as plain values."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "machine": f"{cores} cores, {_processor()}",
        "threads": threads,
        "python": platform.python_version(),
    }


def _processor() -> str:
    """Return the processor's name, or its architecture where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] else platform.processor() or platform.machine()
