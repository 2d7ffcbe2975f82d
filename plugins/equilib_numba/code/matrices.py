"""Products of matrices, whose rows threads share."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib_numba.code.memory import call, row, words
from equilib_numba.code.team import bounds
from equilib_numba.records import HEAD, IDENTITY
from equilib_numba.registers import BYTES

_TERMS = 512
"""Terms that are summed up at a time: with two registers of columns they stay in the first cache."""


def lay(dtype: np.dtype) -> Any:
    """Return the function of shares of the second factor's rows, which lays them out in registers."""
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

    return share_of


def multiply(dtype: np.dtype) -> Any:
    """Return the function of shares of blocks of rows."""
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
                a, row_step, step = (k * rows + start, 1, rows) if transposed else (start * terms + k, terms, 1)
                call(product, (
                    count, line // BYTES, int(k > 0), x + a * size, row_step * size, step * size, 0, b, 0, room * size,
                    sums, line, 1, some,
                ))  # fmt: skip
            call(give, (
                IDENTITY, sums, 0, -1, 0, -1, out + start * columns * size, count, columns, line // size
            ))  # fmt: skip

    return share_of
