"""Communicator on MPI: bytes by its collectives, sums of arrays in the order that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib.arrays import Array, from_host, to_host
from equilib.errors import UserError
from equilib.machine.ranks.communicator import Communicator, Exchange
from equilib.machine.ranks.launched import launched
from equilib.machine.signals import kept
from equilib_mpi.nccl import NcclReductions, has_nccl, identifier


@dataclass(frozen=True)
class Mpi:
    """MPI, initialized when it connects."""

    def connect(self) -> Communicator:
        """Return the communicator of all processes that mpiexec started.

        Raises UserError if the MPI library cannot be loaded, or belongs to another mpiexec.
        """
        import mpi4py

        # One thread asks MPI, and equilib says itself when it leaves: where a rank fails, nobody waits for it.
        mpi4py.rc.thread_level, mpi4py.rc.finalize = "funneled", False
        try:
            with kept():  # the UCX of MPICH and Open MPI takes SIGHUP for an order to write what it does
                from mpi4py import MPI
        except (ImportError, RuntimeError) as error:
            raise UserError(f'MPI cannot be loaded ({error}): pip install "equilib[mpi]"') from error
        world, started = MPI.COMM_WORLD, launched()
        if started is not None and world.size != started.size:
            raise UserError(
                f"{started.size} processes were started, and {library(MPI)}, which mpi4py uses, knows of {world.size}: "
                "take the mpiexec that belongs to it"
            )
        return MpiCommunicator(MPI)


def library(MPI: Any) -> str:
    """Return the name and the version of the MPI library."""
    name, version = MPI.get_vendor()
    return f"{name} {'.'.join(map(str, version))}"


@dataclass
class _Lane:
    """A communicator of MPI's for one reduction after the other, and of how many all messages were posted.

    All ranks must post collectives of one communicator in one order, and a reduction posts its second when the first
    has arrived, at another moment on each rank: two that are under way must not share one.
    """

    world: Any
    posted: int = 0


_LANES = 4
"""Reductions whose messages travel at the same time; a further one begins when the fourth last has posted its own."""


class MpiCommunicator:
    """All ranks of an MPI program."""

    def __init__(self, MPI: Any) -> None:
        self._mpi, self._world = MPI, MPI.COMM_WORLD
        self.rank: int = self._world.rank
        self.size: int = self._world.size
        self._nccl: NcclReductions | None = None
        self._lanes = [_Lane(self._world.Dup()) for _ in range(_LANES)]
        self._begun = 0

    def describe(self) -> str:
        """Return name and version of the library."""
        return library(self._mpi)

    def gather(self, data: bytes) -> Exchange[list[bytes]]:
        """Return what all ranks give: first the sizes, then the bytes."""
        sizes = np.empty(self.size, np.int64)
        yield self._world.Iallgather(np.asarray([len(data)], np.int64), sizes).Test
        ends = np.cumsum(sizes)
        found = bytearray(int(ends[-1]))
        places = (sizes.tolist(), (ends - sizes).tolist())
        yield self._world.Iallgatherv([data, self._mpi.BYTE], [found, *places, self._mpi.BYTE]).Test
        return [bytes(found[end - size : end]) for size, end in zip(sizes.tolist(), ends.tolist(), strict=True)]

    def broadcast(self, data: bytes) -> Exchange[bytes]:
        """Return what rank 0 gives: first the size, then the bytes, of which one message can hold 2 GiB."""
        size = np.asarray([len(data)], np.int64)
        yield self._world.Ibcast(size).Test
        found = bytearray(data) if self.rank == 0 else bytearray(int(size[0]))
        view = memoryview(found)
        for start in range(0, len(found), _MESSAGE):
            yield self._world.Ibcast([view[start : start + _MESSAGE], self._mpi.BYTE]).Test
        return bytes(found)

    def reduce(self, values: Array, add: Callable[[Array], Array]) -> Exchange[Array]:
        """Return what `add` makes of all: each rank adds a part of the columns, and hands it to the others.

        Of one row it sends and receives 2 (size − 1)/size, as the ring algorithm does, in 2 (size − 1) messages.
        Arrays on a GPU go by NCCL where nccl4py is installed, else through the host.
        """
        if not isinstance(values, np.ndarray) and has_nccl():
            if self._nccl is None:  # at once, since another reduction may follow
                name = self._world.bcast(identifier() if self.rank == 0 else b"")
                self._nccl = NcclReductions(self.rank, self.size, name)
            return (yield from self._nccl.reduce(values, add))
        lane = self._lanes[self._begun % len(self._lanes)]
        turn, self._begun = self._begun // len(self._lanes), self._begun + 1
        yield lambda: lane.posted == turn
        own = to_host(values)
        rows, size = own.shape
        columns = -(-size // self.size)
        parts = np.zeros((self.size, rows, columns), own.dtype)
        for rank in range(self.size):
            part = own[:, rank * columns : (rank + 1) * columns]
            parts[rank, :, : part.shape[1]] = part
        found = np.empty_like(parts)
        yield lane.world.Ialltoall(parts, found).Test
        total = np.ascontiguousarray(add(found))
        whole = np.empty((self.size, columns), own.dtype)
        request = lane.world.Iallgather(total, whole)
        lane.posted += 1
        yield request.Test
        return from_host(whole.reshape(-1)[:size], values)

    def close(self) -> None:
        """Finalize MPI."""
        self._mpi.Finalize()


_MESSAGE = 1 << 30
