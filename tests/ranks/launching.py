"""Programs that are started by a real mpiexec, that of MPICH beside mpi4py."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
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
    return mpiexec(command(ranks, *arguments)[1:], **changes)


def mpiexec(arguments: Sequence[str], folder: Path | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
    """Give mpiexec its arguments, in a folder, for processes of one thread each, and return how that ended."""
    return subprocess.run(
        [str(MPIEXEC), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=environment(OPENBLAS_NUM_THREADS="1", **changes),
    )
