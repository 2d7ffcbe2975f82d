"""Adam's update of an array in one pass (Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib_numba.compiling import compiled, entry
from equilib_numba.memory import address, number, row
from equilib_numba.scratch import plain
from equilib_numba.team import share_out, shared, team

_BLOCK = 1 << 13


@compiled
def _update(share: int, place: int, shares: int, given: Any, found: Any, numbers: Any) -> None:
    like = given[0].dtype.type(0)
    first, last = len(given[0]) * share // shares, len(given[0]) * (share + 1) // shares
    count = last - first
    p, g = row(address(given[0], first), count, like), row(address(given[1], first), count, like)
    m, s = row(address(given[2], first), count, like), row(address(given[3], first), count, like)
    new, mean = row(address(found[0], first), count, like), row(address(found[1], first), count, like)
    square = row(address(found[2], first), count, like)
    rate, keep1, keep2 = number(numbers[0], like), number(numbers[1], like), number(numbers[2], like)
    add1, add2 = number(1 - numbers[1], like), number(1 - numbers[2], like)
    bias1, bias2 = number(numbers[3], like), number(numbers[4], like)
    epsilon, decay = number(numbers[5], like), number(numbers[6], like)
    for k in range(count):
        mean[k] = keep1 * m[k] + add1 * g[k]
        square[k] = keep2 * s[k] + add2 * (g[k] * g[k])
        new[k] = (mean[k] / bias1) / (np.sqrt(square[k] / bias2) + epsilon)
    if decay > like:
        for k in range(count):
            new[k] += decay * p[k]
    for k in range(count):
        new[k] = p[k] - rate * new[k]


_share = shared(_update)


@entry
def _adam(board: int, given: Any, found: Any, numbers: Any) -> None:
    shares = min(-(-len(given[0]) // _BLOCK), 1024)
    share_out(board, shares, _share((shares, given, found, numbers)))


def adam(
    p: np.ndarray, g: np.ndarray, mean: np.ndarray, square: np.ndarray, rate: float, beta1: float, beta2: float,
    bias1: float, bias2: float, epsilon: float, weight_decay: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Return the parameters, and the moments of their gradient, after an update."""
    given = tuple(plain(each).reshape(-1) for each in (p, g, mean, square))
    new, m, s = (np.empty(p.shape, p.dtype) for _ in range(3))
    numbers = tuple(map(float, (rate, beta1, beta2, bias1, bias2, epsilon, weight_decay)))
    _adam(team().board, given, (new.reshape(-1), m.reshape(-1), s.reshape(-1)), numbers)
    return new, m, s
