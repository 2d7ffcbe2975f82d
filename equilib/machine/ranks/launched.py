"""Launchers of processes, as mpiexec: the environment variables by which they number them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

_VARIABLES = (
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI, and srun --mpi=pmi2
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),  # MVAPICH
    ("PMIX_RANK", "SLURM_STEP_NUM_TASKS"),  # srun --mpi=pmix
)
_PREFIXES = ("PMI_", "PMIX_", "OMPI_", "MV2_", "MPI_LOCAL", "HYDI_")


@dataclass(frozen=True)
class Launched:
    """The number of a process among those that one launcher started, and how many there are."""

    rank: int
    size: int


def launched(environment: Mapping[str, str] = os.environ) -> Launched | None:
    """Return what a launcher made of this process; None where it is a program by itself."""
    for rank, size in _VARIABLES:
        try:
            found = Launched(int(environment[rank]), int(environment[size]))
        except (KeyError, ValueError):
            continue
        return found if found.size > 1 else None
    return None


def not_launched(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of a program that a rank starts, which is none itself."""
    return {name: value for name, value in environment.items() if not name.startswith(_PREFIXES)}
