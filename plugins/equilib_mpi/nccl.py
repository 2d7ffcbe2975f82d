"""Sums of CuPy arrays by NCCL, from device to device; not run on a GPU yet."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from equilib.arrays import Array
from equilib.machine.ranks.communicator import Exchange


def has_nccl() -> bool:
    """Tell whether nccl4py is installed."""
    return find_spec("nccl") is not None and find_spec("nccl.core") is not None


def identifier() -> bytes:
    """Return what names a new communicator; one rank asks for it."""
    from nccl import core

    return bytes(core.get_unique_id())


class NcclReductions:
    """Reductions over all ranks, each of which has one GPU, its current one."""

    def __init__(self, rank: int, size: int, name: bytes) -> None:
        from nccl import core

        cupy: Any = sys.modules["cupy"]  # whose arrays are to be summed
        self._cupy, self._size = cupy, size
        self._all: Any = core.Communicator.init(size, rank, core.UniqueId.from_bytes(name))
        self._stream = cupy.cuda.Stream(non_blocking=True)

    def reduce(self, values: Array, add: Callable[[Array], Array]) -> Exchange[Array]:
        """Return what `add` makes of the arrays of all ranks, as `MpiCommunicator.reduce` does."""
        cupy = self._cupy
        rows, size = values.shape
        columns = -(-size // self._size)
        parts = cupy.zeros((self._size, rows, columns), values.dtype)
        for rank in range(self._size):
            part = values[:, rank * columns : (rank + 1) * columns]
            parts[rank, :, : part.shape[1]] = part
        whole = cupy.empty((self._size, columns), values.dtype)
        found = cupy.empty_like(parts)
        self._stream.wait_event(cupy.cuda.get_current_stream().record())
        with self._stream:
            self._all.alltoall(parts, found, stream=self._stream.ptr)
            total = cupy.ascontiguousarray(add(found))
            self._all.allgather(total, whole.reshape(-1), stream=self._stream.ptr)
            arrived = self._stream.record()
        yield lambda: bool(np.bool_(arrived.done))
        return whole.reshape(-1)[:size]
