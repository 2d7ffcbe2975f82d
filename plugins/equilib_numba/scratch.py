"""Memory that compiled functions work in, kept from call to call for each thread that calls them."""

from __future__ import annotations

import threading
from math import prod

import numpy as np

from equilib_numba.registers import BYTES

_kept = threading.local()


def scratch(name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an array that begins where a register does; what it contains is undefined, and lost in the next call."""
    size = prod(shape)
    kept = _kept.__dict__.setdefault(name, {})
    held = kept.get(dtype)
    if held is None or held.size < size:
        lanes = BYTES // dtype.itemsize
        whole = np.empty(size + lanes, dtype)
        start = -whole.ctypes.data % BYTES // dtype.itemsize
        held = kept[dtype] = whole[start : start + size]
    return held[:size].reshape(shape)


def plain(array: np.ndarray) -> np.ndarray:
    """Return an array, or a copy of it or of a number, as compiled functions read it: in C's order, aligned."""
    if type(array) is np.ndarray:
        flags = array.flags
        if flags.c_contiguous and flags.aligned:
            return array
    return np.array(array, order="C")
