"""Sums of CuPy arrays by NCCL, from device to device; not run on a GPU yet."""

from __future__ import annotations

import sys
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


class NcclSums:
    """Sums over all ranks, each of which has one GPU, its current one."""

    def __init__(self, rank: int, size: int, name: bytes) -> None:
        from nccl import core

        cupy: Any = sys.modules["cupy"]  # whose arrays are to be summed
        self._cupy, self._size = cupy, size
        self._all: Any = core.Communicator.init(size, rank, core.UniqueId.from_bytes(name))
        self._stream = cupy.cuda.Stream(non_blocking=True)

    def sum(self, values: Array) -> Exchange[Array]:
        """Return the sum of arrays of shape (size,), added in the order of the ranks."""
        cupy = self._cupy
        part = -(-values.size // self._size)
        parts = cupy.zeros((self._size, part), values.dtype)
        parts.reshape(-1)[: values.size] = values
        found = cupy.empty_like(parts)
        self._stream.wait_event(cupy.cuda.get_current_stream().record())
        with self._stream:
            self._all.alltoall(parts, found, stream=self._stream.ptr)
            total = found[0]
            for each in found[1:]:
                total += each
            self._all.allgather(total, parts.reshape(-1), stream=self._stream.ptr)
            arrived = self._stream.record()
        yield lambda: bool(np.bool_(arrived.done))
        return parts.reshape(-1)[: values.size]
