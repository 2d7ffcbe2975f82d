"""Programs that are started by a real mpiexec, that of MPICH beside mpi4py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import environment

MPIEXEC = Path(sys.executable).with_name("mpiexec")


def require_mpi() -> None:
    """Skip the test, with the reason, where there is no MPI."""
    pytest.importorskip("mpi4py", reason='mpi4py is not installed: pip install "equilib[mpi]"')
    if not MPIEXEC.exists():
        pytest.skip(f"there is no {MPIEXEC}")


def command(ranks: int, *arguments: object) -> list[str]:
    """Return the command that starts Python with arguments in so many processes."""
    return [str(MPIEXEC), "-n", str(ranks), sys.executable, *map(str, arguments)]


def launch(ranks: int, *arguments: object, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run Python with arguments in so many processes, of one thread each, and return how that ended."""
    given = environment(OPENBLAS_NUM_THREADS="1", **changes)
    return subprocess.run(
        command(ranks, *arguments), capture_output=True, text=True, timeout=100, check=False, env=given
    )
