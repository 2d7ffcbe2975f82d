"""Norms of samples, and squares of gradients, in one launch for several arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from equilib_cuda import launches
from equilib_cuda.launches import MOST, empty, launch, plain


def norms(matrices: Sequence[Any], mean: bool) -> Any:
    """Return √Σ x² of the rows of matrices, or the root of the mean, shape (matrices, batch)."""
    own = [plain(each) for each in matrices]
    rows, size = own[0].shape
    out = empty((len(own), rows), own[0].dtype)
    launch("norms", "norms", out.dtype, (rows, len(own)), launches.ROW, own, out, rows, size, int(mean))
    return out


def squares(leaves: Sequence[Any]) -> Any:
    """Return Σ x² of each array, shape (len(leaves),)."""
    out = empty((len(leaves),), leaves[0].dtype)
    for first in range(0, len(leaves), MOST):
        own = [plain(each) for each in leaves[first : first + MOST]]
        sizes = np.array([each.size for each in own] + [0] * (MOST - len(own)), np.int64)
        launch("norms", "squares", out.dtype, (len(own),), launches.ROW, own, sizes, out[first:])
    return out
