"""Arrays on the host, a block at a time.

NumPy writes the result of each operation to memory and reads it again for the next. A formula of several operations is
therefore evaluated on blocks so small that they stay in a core's cache from its first operation to its last, and in
arrays that are made once. Two cores do this 1.4 times as fast as one, no more: the operations are short, and each asks
for the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from equilib.machine.threads import by_shares

# Bytes of the arrays that a formula uses at a time: with 2 MB of cache for a core 1.5 to 3 MB make little difference.
_BLOCK = 2_200_000

# Fewer operations take so little time, 0.7 ms, that waiting for the lock costs more than a second core saves.
_WORTHWHILE = 5_000_000


def on_host(x: Any, *others: Any) -> bool:
    """Tell whether all are NumPy arrays, not traced, of the same type: float32 or float64."""
    if not isinstance(x, np.ndarray) or x.dtype.char not in "fd":
        return False
    for other in others:  # noqa: SIM110  a generator would take longer than the rest
        if not isinstance(other, np.ndarray) or other.dtype != x.dtype:
            return False
    return True


def block_length(numbers: int, itemsize: int) -> int:
    """Return how many elements make a block, at least one, where a formula uses `numbers` numbers for each."""
    return max(1, _BLOCK // max(1, numbers * itemsize))


def by_shares_of_blocks(work: Callable[[int, int], Any], length: int, *, operations: int) -> None:
    """Call work(first, last), which goes block by block, for shares of `length` elements at the same time.

    Little work is not divided: `operations` is on how many numbers it operates, counted as often as it does.
    """
    if operations < _WORTHWHILE:
        work(0, length)
    else:
        by_shares(work, length, numbers=operations)


def elementwise(formula: Callable[..., None], x: np.ndarray, *, operations: int, scratch: int = 0) -> np.ndarray:
    """Return what a formula of so many operations computes of each element of x, an array of the same shape.

    formula(out, x, *scratch) writes its result for a block x to `out`; the arrays differ, and all have one shape.
    """
    source, out = x.reshape(-1), np.empty(x.shape, dtype=x.dtype)
    result, block = out.reshape(-1), block_length(2 + scratch, x.itemsize)
    if source.size <= block:
        formula(result, source, *(np.empty(source.size, dtype=x.dtype) for _ in range(scratch)))
        return out

    def work(first: int, last: int) -> None:
        spare = [np.empty(min(block, last - first), dtype=x.dtype) for _ in range(scratch)]
        for start in range(first, last, block):
            stop = min(start + block, last)
            formula(result[start:stop], source[start:stop], *(each[: stop - start] for each in spare))

    by_shares_of_blocks(work, source.size, operations=operations * x.size)
    return out
