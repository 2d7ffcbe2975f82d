"""Products of matrices, whose rows threads share."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib_numba.compiling import compiled, entry
from equilib_numba.memory import BYTES, address, call
from equilib_numba.pixels import IDENTITY, give_line, take_line
from equilib_numba.product import ROWS, multiply, multiply_transposed
from equilib_numba.scratch import plain, scratch
from equilib_numba.team import share_out, shared, team

_TERMS = 512
"""Terms that are summed up at a time: with two registers of columns they stay in the first cache."""


@compiled
def _lay(share: int, place: int, shares: int, take: int, y: Any, transposed: bool, laid: Any) -> None:
    """Lay a share of the rows of the second factor, or of the transpose of y, out in whole registers."""
    terms, room = laid.shape
    like = y.dtype.type(0)
    columns = y.shape[0] if transposed else y.shape[1]
    for k in range(terms * share // shares, terms * (share + 1) // shares):
        target = laid[k]
        if transposed:
            for o in range(columns):
                target[o] = y[o, k]
        else:
            at = address(y, k * columns)
            call(take, (IDENTITY, at, at, address(laid, k * room), 1, columns, columns))
        for o in range(columns, room):
            target[o] = like


@compiled
def _multiply(
    share: int, place: int, shares: int, stages: Any, x: Any, transposed: bool, laid: Any, out: Any, scratch: Any
) -> None:
    product, give = stages
    terms, room = laid.shape
    rows, columns = out.shape
    size, sums = out.itemsize, address(scratch, place * scratch.shape[1])
    registers = -(-columns * size // BYTES)
    line = registers * BYTES
    first, last = rows * share // shares, rows * (share + 1) // shares
    for k in range(0, terms, _TERMS):
        some = min(_TERMS, terms - k)
        b = address(laid, k * room)
        if transposed:
            a = address(x, k * rows + first)
            call(product, (
                last - first, registers, int(k > 0), a, 0, rows * size, b, 0, room * size, sums, line, 1, some
            ))  # fmt: skip
        else:
            a = address(x, first * terms + k)
            call(product, (
                last - first, registers, int(k > 0), a, terms * size, 0, b, 0, room * size, sums, line, 1, some
            ))  # fmt: skip
    call(give, (
        IDENTITY, sums, 0, -1, 0, -1, address(out, first * columns), last - first, columns, line // size
    ))  # fmt: skip


_share_rows, _share_product = shared(_lay), shared(_multiply)


@entry
def _matmul(
    board: int, take: int, stages: Any, x: Any, x_transposed: bool, y: Any, y_transposed: bool, laid: Any, out: Any,
    block: int, scratch: Any,
) -> None:  # fmt: skip
    share_out(board, 8, _share_rows((8, take, y, y_transposed, laid)))
    shares = -(-len(out) // block)
    share_out(board, shares, _share_product((shares, stages, x, x_transposed, laid, out, scratch)))


def _as_laid(x: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return a matrix, or its transpose and True, with rows whose numbers are neighbours."""
    return (x.T, True) if x.T.flags.carray and not x.flags.carray else (plain(x), False)


def matmul(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the product of two matrices."""
    dtype, threads = x.dtype, team()
    lanes = BYTES // dtype.itemsize
    out = np.empty((x.shape[0], y.shape[1]), dtype)
    room = -(-y.shape[1] // lanes) * lanes
    block = max(4 * ROWS, -(-len(out) // 4096))
    (x, x_transposed), (y, y_transposed) = _as_laid(x), _as_laid(y)
    laid = scratch("kernel", (y.size // max(1, out.shape[1]), room + lanes * (room // lanes % 2 == 0)), dtype)
    memory = scratch("own", (threads.count, block * room), dtype)
    stages = (multiply_transposed if x_transposed else multiply)(dtype), give_line(dtype)
    _matmul(
        threads.board, take_line(dtype), stages, x, x_transposed, y, y_transposed, laid, out, block, memory
    )  # fmt: skip
    return out
