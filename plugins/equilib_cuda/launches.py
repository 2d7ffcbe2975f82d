"""Launches of kernels: their sources, and the arguments that CUDA is given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

MOST = 64
"""Arrays of a table that is passed by value."""

NUMBERS = 2048
"""Bytes of numbers that are."""

THREADS = 256
"""Threads of a block of those that go through arrays number by number."""

BLOCKS = 2048
"""Blocks of such a launch, at most: each thread then takes several numbers."""

ROW = 512
"""Threads of a block that sums up a row."""

KINDS = {"identity": 0, "tanh": 1, "sigmoid": 2, "relu": 3, "gelu": 4, "gelu_slope": 5}
"""Activations and their numbers in CUDA C."""

_CODE = Path(__file__).parent / "code"


def source(file: str, dtype: np.dtype) -> str:
    """Return the CUDA C of a file for float32 or float64."""
    real = "float" if dtype.itemsize == 4 else "double"
    return "\n".join((f"#define REAL {real}", (_CODE / "common.cuh").read_text(), (_CODE / f"{file}.cu").read_text()))


@cache
def _kernel(file: str, name: str, dtype: np.dtype) -> Any:
    import cupy

    return cupy.RawKernel(source(file, dtype), f"equilib_{name}")


def launch(file: str, name: str, dtype: np.dtype, grid: tuple[int, ...], threads: int, *args: Any) -> None:
    """Launch a kernel of a file.

    An int is a `Long` there, a float a double, None a null pointer, a sequence of arrays `Arrays`, a NumPy array a
    structure that is passed by value.
    """
    _kernel(file, name, dtype)(grid, (threads,), tuple(_argument(each) for each in args))


def _argument(value: Any) -> Any:
    kind = type(value)
    if kind is int:
        return np.int64(value)
    if kind is float:
        return np.float64(value)
    if value is None:
        return np.uint64(0)
    return table(value) if kind is list or kind is tuple else value


def table(arrays: Sequence[Any], most: int = MOST) -> np.ndarray:
    """Return the addresses of arrays, and zeros up to `most`."""
    return np.array([each.data.ptr for each in arrays] + [0] * (most - len(arrays)), np.uint64)


def blocks(count: int) -> tuple[int]:
    """Return the grid that goes through an array number by number."""
    return (min(-(-count // THREADS), BLOCKS),)


def plain(array: Any) -> Any:
    """Return an array, or a copy of it, in C's order."""
    if array.flags.c_contiguous:
        return array
    import cupy

    return cupy.ascontiguousarray(array)


def empty(shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """Return a new array, whose numbers are undefined."""
    import cupy

    return cupy.empty(shape, dtype)


def zeros(shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """Return an array of zeros."""
    import cupy

    return cupy.zeros(shape, dtype)


def on_device(array: Any) -> Any:
    """Return an array, or a copy of it, on the device."""
    import cupy

    return cupy.asarray(array)
