"""The command line as a program of its own: started, interrupted, read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# A shell that starts a job in the background has it ignore SIGINT, and so would what the job starts.
EQUILIB = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from equilib_program import main
sys.exit(main())
"""
# Code that makes Python find no CuPy, whatever is installed.
HIDE_CUPY = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] == "cupy" else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def command(*argv: str, before: str = "") -> list[str]:
    """Return the command `equilib ...` of this environment; `before` is code that runs first."""
    return [sys.executable, "-c", before + EQUILIB, *argv]


def environment(**changes: str) -> dict[str, str]:
    """Return the environment without a data folder, and with these changes."""
    inherited = {name: value for name, value in os.environ.items() if name != "EQUILIB_DATA_DIR"}
    return inherited | {"PYTHONUTF8": "1"} | changes


def equilib(
    *argv: str, cwd: Path, before: str = "", seconds: float = 300, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run `equilib ...` to its end in the folder `cwd`."""
    return subprocess.run(
        command(*argv, before=before),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=seconds,
        cwd=cwd,
        env=environment(**changes),
    )
