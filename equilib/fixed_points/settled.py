"""Solution at a fixed point that is known, as a linear equation there is told of it."""

from __future__ import annotations

import numpy as np

from equilib.arrays import Array
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.solution import Solution, Status


def settled(z: Array, solver: object, options: SolveOptions) -> Solution:
    """Return the solution z, shape (batch, ...), that `solver` found with these options; its residual is not known."""
    batch = z.shape[0]
    return Solution(
        z0=z,
        z=z,
        residual=z,
        status=(Status.CONVERGED,) * batch,
        residual_norm=np.zeros(batch),
        steps=np.zeros(batch, dtype=int),
        sample_nfe=0,
        trace=np.zeros((1, batch)),
        solver=str(solver),
        options=options,
        attempt=np.zeros(batch, dtype=int),
    )
