"""Max pooling and its derivative, an image at a time."""

from __future__ import annotations

import numpy as np

from equilib_numba.scratch import plain, scratch
from equilib_numba.team import run, team

Pair = tuple[int, int]


def _sizes(x: np.ndarray, top: np.ndarray, window: Pair, stride: Pair) -> tuple[int, ...]:
    return (*top.shape[1:], *x.shape[1:3], *window, *stride)


def max_pool(x: np.ndarray, window: Pair, stride: Pair) -> np.ndarray:
    """Return the largest value of each window, shape (batch, H', W', C)."""
    x = plain(x)
    rows, columns = ((x.shape[1 + axis] - window[axis]) // stride[axis] + 1 for axis in (0, 1))
    out = np.empty((len(x), rows, columns, x.shape[3]), x.dtype)
    run("pooling.pool", x.dtype, len(x), x, out, *_sizes(x, out, window, stride), most=4096)
    return out


def max_pool_push(v: np.ndarray, x: np.ndarray, top: np.ndarray, window: Pair, stride: Pair) -> np.ndarray:
    """Return J·v, like `top`."""
    return _derived(v, x, top, window, stride, back=False)


def max_pool_pull(g: np.ndarray, x: np.ndarray, top: np.ndarray, window: Pair, stride: Pair) -> np.ndarray:
    """Return Jᵀ·g, like x."""
    return _derived(g, x, top, window, stride, back=True)


def _derived(v: np.ndarray, x: np.ndarray, top: np.ndarray, window: Pair, stride: Pair, *, back: bool) -> np.ndarray:
    v, x, top = plain(v), plain(x), plain(top)
    out = np.empty((x if back else top).shape, x.dtype)
    memory = scratch("own", (team().count, x.shape[3]), x.dtype)
    sizes = _sizes(x, top, window, stride)
    run("pooling.derive", x.dtype, len(x), v, x, top, out, back, memory, *sizes, most=4096)
    return out
