"""Tests of an operation's arguments: whether a kernel can compute them, and is worth it. They import nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib.kernels import shapes

_FEW = 16
"""Channels of which the transforms of a tile cost more than they save."""

_PRODUCT = 200_000
"""Multiplications of a product that two threads are worth."""


def matmul(x: np.ndarray, y: np.ndarray) -> bool:
    """Tell whether two matrices are worth it."""
    return x.ndim == y.ndim == 2 and x.shape[1] == y.shape[0] and x.size * y.shape[1] >= _PRODUCT and y.shape[1] > 3


def convolution(operation: str, winograd: bool, *args: Any) -> bool:
    """Tell whether an operation on images can be computed, and Winograd's method suits it if that is meant."""
    return bool(getattr(shapes, operation)(*args)) and not (winograd and not _in_tiles(operation, args))


def _in_tiles(operation: str, args: tuple[Any, ...]) -> bool:
    if operation in ("conv2d_weight_transpose", "conv2d_block_weight"):
        kernel, channels, outputs = args[-3], args[0].shape[3], args[1].shape[3]
    else:
        kernel, (channels, outputs) = args[1].shape[:2], args[1].shape[2:]
    return tuple(kernel) == (3, 3) and tuple(args[-2]) == (1, 1) and channels >= _FEW and outputs >= _FEW
