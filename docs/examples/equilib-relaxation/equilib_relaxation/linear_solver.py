"""Richardson iteration, x ← x + a·(b − A x), as a linear solver for equilib."""

from dataclasses import dataclass

import numpy as np

from equilib.arrays import array_namespace, to_host, two_norm, where_samples
from equilib.options import Checked, option


@dataclass(frozen=True)
class Richardson(Checked):
    """Add `step_size` times the residual to x."""

    products: int = option(100, help="products with A, at most", minimum=1)
    step_size: float = option(1.0, help="share of the residual that is added", exclusive_minimum=0)

    def solve(self, matvec, b, *, rtol, active):
        """Return x; samples that are not active get zeros."""
        zeros, size = array_namespace(b).zeros_like(b), to_host(two_norm(b))
        active = active & np.isfinite(size) & (size > 0)
        x = zeros
        for _ in range(self.products):
            residual = where_samples(active, b - matvec(x), zeros)
            if (to_host(two_norm(residual)) <= rtol * size)[active].all():
                break
            x = x + self.step_size * residual
        return x
