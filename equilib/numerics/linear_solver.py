"""The protocol of a linear solver: A x = b for each sample, with A given by its products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np

from equilib.arrays import Array

MatVec: TypeAlias = Callable[[Array], Array]
"""A linear map v ↦ A v: it takes and returns arrays of one shape and dtype, sample by sample."""


class LinearSolver(Protocol):
    """**Protocol:** solve A x = b for each sample, with A given by its products only.

    1. Be a frozen dataclass; its fields are its options.
    2. Reduce ‖b − A x‖ of sample i to `rtol[i]`·‖b‖, or do your best and return.
    3. Return zeros for samples that are not `active`, whatever b holds there.

    One that knows its residual without a further product may have a method `solve_with_residual`, with the arguments of
    `solve`, which returns x and b − A x, both of the shape of b; b where x is zero, whatever b holds there. None in
    place of the latter says that products have shown that A mixes samples: then there is nothing that is solved.
    """

    def solve(self, matvec: MatVec, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Return x, of the shape (batch, ...) and dtype of b, starting from x = 0.

        `rtol` and `active`, the samples that are to be solved, have the shape (batch,). x is zero for samples that are
        not active or whose b is zero or not finite.
        """
