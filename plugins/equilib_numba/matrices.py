"""Products of matrices, whose rows threads share."""

from __future__ import annotations

from functools import cache

import numpy as np

from equilib_numba.compiling import c_function
from equilib_numba.memory import BYTES, call, row, words
from equilib_numba.pixels import IDENTITY, give_line, take_line
from equilib_numba.product import ROWS, multiply, multiply_transposed
from equilib_numba.scratch import plain, scratch
from equilib_numba.team import HEAD, bounds, run, team

_TERMS = 512
"""Terms that are summed up at a time: with two registers of columns they stay in the first cache."""


@cache
def _lay(dtype: np.dtype) -> int:
    """Return the address of the function of shares of the second factor's rows, which lays them out in registers."""
    like, size = dtype.type(0), dtype.itemsize

    def share_of(given: int, share: int, place: int) -> None:
        _, terms = words(given, 2)
        take, y, transposed, columns, laid, room = words(given + HEAD, 6)
        first, last = bounds(given, share)
        for k in range(first, last):
            target = row(laid + k * room * size, room, like)
            if transposed:
                whole = row(y, terms * columns, like)
                for o in range(columns):
                    target[o] = whole[o * terms + k]
            else:
                call(take, (IDENTITY, y + k * columns * size, y, laid + k * room * size, 1, columns, columns))
            for o in range(columns, room):
                target[o] = like

    return c_function(share_of, 3)


@cache
def _multiply(dtype: np.dtype) -> int:
    """Return the address of the function of shares of blocks of rows."""
    size = dtype.itemsize

    def share_of(given: int, share: int, place: int) -> None:
        product, give, x, transposed, laid, terms, room = words(given + HEAD, 7)
        out, rows, columns, block, scratch, own = words(given + HEAD + 56, 6)
        line, sums = -(-columns * size // BYTES) * BYTES, scratch + place * own * size
        blocks = bounds(given, share)
        for start in range(blocks[0] * block, min(blocks[1] * block, rows), block):
            count = min(block, rows - start)
            for k in range(0, terms, _TERMS):
                some, b = min(_TERMS, terms - k), laid + k * room * size
                if transposed:
                    a, a_row, a_inner = x + (k * rows + start) * size, 0, rows * size
                else:
                    a, a_row, a_inner = x + (start * terms + k) * size, terms * size, 0
                # Its fifth argument is the step of the rows, or where these are neighbours, the first of the terms.
                call(product, (
                    count, line // BYTES, int(k > 0), a, a_row, a_inner, b, 0, room * size, sums, line, 1, some
                ))  # fmt: skip
            call(give, (
                IDENTITY, sums, 0, -1, 0, -1, out + start * columns * size, count, columns, line // size
            ))  # fmt: skip

    return c_function(share_of, 3)


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
    run(_lay(dtype), terms, take_line(dtype), y, y_turned, columns, laid, room, most=8)
    product = (multiply_transposed if turned else multiply)(dtype)
    given = (
        product,
        give_line(dtype),
        x,
        turned,
        laid,
        terms,
        room,
        out,
        len(out),
        columns,
        block,
        memory,
        block * rooms,
    )
    run(_multiply(dtype), -(-len(out) // block), *given, most=4096)
    return out
