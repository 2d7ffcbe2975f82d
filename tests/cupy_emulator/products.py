"""Products of matrices, and what CuPy copies and looks up before it hands them to cuBLAS."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from tests.cupy_emulator import meter
from tests.cupy_emulator.array import ndarray, wrap
from tests.cupy_emulator.crossing import device_result, host_of, refuse_numpy, size_of


def matmul(a: Any, b: Any, /, out: Any = None, **kwargs: Any) -> Any:
    for value in (a, b):
        if not isinstance(value, ndarray):
            raise TypeError(f"Unsupported type {type(value)}")
    with np.errstate(all="ignore"):
        found = wrap(np.matmul(a._host, b._host))
    ready = "c_contiguous" if max(a.ndim, b.ndim) > 2 else "contiguous"
    for value in (a, b):
        flags = value._host.flags
        if not (flags.c_contiguous or (ready == "contiguous" and flags.f_contiguous)):
            meter.launch("copy", 2 * value.nbytes)
    batch = prod(found.shape[:-2]) if found.ndim > 2 else 1
    if max(a.ndim, b.ndim) > 2 and a.shape[:-2] != b.shape[:-2]:
        for _ in range(3 * (found.ndim - 2)):
            meter.launch("mat_ptrs")  # products of broadcast arrays go through arrays of pointers
    rows, columns = a.shape[-2] if a.ndim > 1 else 1, b.shape[-1] if b.ndim > 1 else 1
    if found.dtype.kind not in "fc" or (rows == columns == 1 and found.ndim < 3):
        meter.launch(
            "matmul", size_of(a, b, found)
        )  # cuBLAS multiplies no integers; a single dot product is a reduction
    else:
        meter.product(rows, columns, a.shape[-1], batch)
    if out is not None:
        out[...] = found
        return out
    return found


def contraction(name: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        refuse_numpy(*args)
        found = device_result(getattr(np, name)(*map(host_of, args), **kwargs))
        meter.product(
            0, found.size, max((a.size for a in args if isinstance(a, ndarray)), default=0) // max(found.size, 1)
        )
        return found

    return call
