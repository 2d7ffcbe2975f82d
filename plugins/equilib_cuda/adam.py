"""Adam's update of all arrays in one launch (Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from equilib_cuda import launches
from equilib_cuda.launches import blocks, empty, launch, plain, table

LEAVES = 40
"""Arrays of a launch: as many as the arguments of a kernel have room for."""


def adam(
    params: Sequence[Any], gradient: Sequence[Any], mean: Sequence[Any], square: Sequence[Any], rate: float,
    beta1: float, beta2: float, bias1: float, bias2: float, epsilon: float, weight_decay: float,
) -> tuple[Any, ...]:  # fmt: skip
    """Return the parameters, and the moments of their gradient, after an update: three times as many."""
    constants = np.array((rate, beta1, beta2, 1 - beta1, 1 - beta2, bias1, bias2, epsilon), params[0].dtype)
    found = [[empty(each.shape, each.dtype) for each in params] for _ in range(3)]
    for first in range(0, len(params), LEAVES):
        part = slice(first, first + LEAVES)
        given = [[plain(each) for each in column[part]] for column in (params, gradient, mean, square)]
        sizes = [each.size for each in given[0]]
        decays = [weight_decay if each.ndim > 1 else 0.0 for each in params[part]]
        missing = [0] * (LEAVES - len(sizes))
        leaves = np.concatenate(
            [table(column, LEAVES) for column in (*given, *(each[part] for each in found))]
            + [np.array(sizes + missing, np.uint64), np.array(decays + missing, np.float64).view(np.uint64)]
        )
        grid = blocks(max(sizes))[0], len(sizes)
        launch("adam", "adam", params[0].dtype, grid, launches.THREADS, leaves, constants)
    return tuple(each for column in found for each in column)
