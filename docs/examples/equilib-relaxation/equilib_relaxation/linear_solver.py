"""Richardson iteration, x ← x + a·(b − A x), as a linear solver for equilib."""

from dataclasses import dataclass

import numpy as np

from equilib.arrays import host_norm, where_samples, zeros_like
from equilib.options import Checked, option


@dataclass(frozen=True)
class Richardson(Checked):
    """Add `step_size` times the residual to x."""

    products: int = option(100, help="stop after so many products with A", minimum=1)
    step_size: float = option(1.0, help="add this share of the residual", exclusive_minimum=0)

    def solve(self, matvec, b, *, rtol, active):
        """Return x; samples that are not active get zeros, and each ends by its own tolerance."""
        size, x = host_norm(b), zeros_like(b)
        going = active & np.isfinite(size) & (size > 0)
        residual = where_samples(going, b, x)
        for _ in range(self.products):
            x = where_samples(going, x + self.step_size * residual, x)
            residual = where_samples(going, b - matvec(x), residual)
            going = going & (host_norm(residual) > rtol * size)
            if not going.any():
                break
        return x
