"""Adam's update of an array in one pass (Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2)."""

from __future__ import annotations

import numpy as np

from equilib_numba.scratch import plain
from equilib_numba.team import run

BLOCK = 1 << 13
"""Numbers of a share."""


def adam(
    p: np.ndarray, g: np.ndarray, mean: np.ndarray, square: np.ndarray, rate: float, beta1: float, beta2: float,
    bias1: float, bias2: float, epsilon: float, weight_decay: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Return the parameters, and the moments of their gradient, after an update."""
    given = [plain(each) for each in (p, g, mean, square)]
    found = tuple(np.empty(p.shape, p.dtype) for _ in range(3))
    numbers = (rate, beta1, beta2, 1 - beta1, 1 - beta2, bias1, bias2, epsilon, weight_decay)
    own = np.array(numbers, p.dtype)
    run("adam.update", p.dtype, -(-p.size // BLOCK), *given, *found, own, p.size, most=1024)
    return found
