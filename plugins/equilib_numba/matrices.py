"""Products of matrices, whose rows threads share."""

from __future__ import annotations

import numpy as np

from equilib_numba.addresses import address
from equilib_numba.registers import BYTES, ROWS
from equilib_numba.scratch import plain, scratch
from equilib_numba.team import run, team


def _as_laid(x: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return a matrix, or its transpose and True, with rows whose numbers are neighbours."""
    flags = x.flags
    return (x.T, True) if flags.f_contiguous and flags.aligned and not flags.c_contiguous else (plain(x), False)


def matmul(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the product of two matrices."""
    dtype, threads, (terms, columns) = x.dtype, team(), y.shape
    lanes, out = BYTES // x.itemsize, np.empty((len(x), columns), x.dtype)
    rooms, block = -(-columns // lanes) * lanes, 4 * ROWS
    room = rooms + lanes * (rooms // lanes % 2 == 0)  # an odd number of lines: rows lie in all parts of a cache
    (x, turned), (y, y_turned) = _as_laid(x), _as_laid(y)
    laid, memory = scratch("kernel", (terms, room), dtype), scratch("own", (threads.count, block * rooms), dtype)
    lines = address("pixels.take_line", dtype), address("pixels.give_line", dtype)
    run("matrices.lay", dtype, terms, lines[0], y, y_turned, columns, laid, room, most=8)
    given = address("product.multiply", dtype), lines[1], x, turned, laid, terms, room
    results = out, len(out), columns, block, memory, block * rooms
    run("matrices.multiply", dtype, -(-len(out) // block), *given, *results, most=4096)
    return out
