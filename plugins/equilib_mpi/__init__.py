"""Messages between processes by MPI, as an equilib plugin: gradients of arrays on GPUs by NCCL."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from equilib.plugin import CommunicatorEntry, hookimpl


@hookimpl
def equilib_communicators() -> Iterable[CommunicatorEntry]:
    """Yield `mpi`."""
    yield CommunicatorEntry(
        name="mpi",
        factory="equilib_mpi.communicator:Mpi",
        summary="MPI by mpi4py; sums of arrays on GPUs by NCCL where nccl4py is installed",
        advice=(
            "It is used where mpiexec or srun started several processes. Sums are added by equilib, in one order, and "
            "so have the same bits whatever algorithms MPI chooses. Each rank sends and receives as much as in the "
            "ring algorithm, in one message for each other rank."
        ),
        unavailable="" if find_spec("mpi4py") else 'mpi4py is not installed: pip install "equilib[mpi]"',
    )
