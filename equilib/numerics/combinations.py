"""Linear combinations of a few arrays, and products of all of them with another, for each sample.

This is what methods do that remember: mixing, secant updates, Krylov spaces. On the host it is done in arrays that are
made once, some samples at a time, so that the sum stays in the cache while the arrays pass by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from equilib.arrays import Array, array_namespace, rows_like, samples_as_rows, weighted_sum
from equilib.machine.threads import by_shares

_BLOCK = 3 << 18
"""Bytes of the sum that are worked on at a time: with its next term it stays in a cache of 2 MB."""

_COPIED = 1 << 15
"""Bytes of arrays that are sooner copied into one than gone through one by one."""


def combined(base: Array, weights: Array, arrays: Sequence[Array]) -> Array:
    """Return base + Σ wᵢ aᵢ, of arrays (batch, ...), summed from left to right.

    The weights, shape (batch, len(arrays)), are of the library and dtype of the others.
    """
    if not arrays:
        return base
    if type(base) is not np.ndarray:
        return weighted_sum(base, [rows_like(weights[:, i], base) for i in range(len(arrays))], arrays)
    total = np.empty(base.shape, dtype=base.dtype)
    start, out, rows = samples_as_rows(base), samples_as_rows(total), [samples_as_rows(array) for array in arrays]
    columns = weights.T[:, :, None]

    def work(first: int, last: int) -> None:
        for part in _blocks(out, first, last):
            _accumulate(start[part], columns[:, part], [row[part] for row in rows], out[part])

    by_shares(work, len(out), numbers=2 * len(rows) * out.size)
    return total


def _accumulate(start: np.ndarray, columns: np.ndarray, rows: Sequence[np.ndarray], out: np.ndarray) -> None:
    np.multiply(rows[0], columns[0], out=out)
    np.add(start, out, out=out)
    if len(rows) > 1:
        term = np.empty(out.shape, dtype=out.dtype)
        for row, column in zip(rows[1:], columns[1:], strict=True):
            np.multiply(row, column, out=term)
            np.add(out, term, out=out)


def overlaps(arrays: Sequence[Array], x: Array) -> Array:
    """Return ⟨aᵢ, x⟩, shape (batch, len(arrays)), of their library and dtype; there is at least one array."""
    other = samples_as_rows(x)
    rows = [samples_as_rows(array) for array in arrays]
    if type(x) is not np.ndarray:
        xp = array_namespace(x)
        return xp.stack([xp.vecdot(row, other) for row in rows], axis=1)
    if len(rows) * other.nbytes <= _COPIED:
        return np.vecdot(np.array(rows), other).T
    products = np.empty((len(rows), len(other)), dtype=x.dtype)

    def work(first: int, last: int) -> None:
        for part in _blocks(other, first, last):
            for row, product in zip(rows, products, strict=True):
                np.vecdot(row[part], other[part], out=product[part])

    by_shares(work, len(other), numbers=len(rows) * other.size)
    return products.T


def _blocks(rows: np.ndarray, first: int, last: int) -> Iterator[slice]:
    length = max(1, _BLOCK // max(1, int(rows.shape[1]) * int(rows.itemsize)))
    for start in range(first, last, length):
        yield slice(start, min(start + length, last))
