"""Physics: Bratu's equation ∇²u + λ eᵘ = 0 on a square, and the λ that makes its peak 0.5 by Newton's method."""

import numpy as np

from equilib import fixed_point, ops
from equilib.autodiff import value_and_grad

n = 24


def bratu(rate):
    def relaxed(u):
        p = ops.pad(u, ((1, 1), (1, 1)))
        laplacian = p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4 * u
        return u + 0.2 * (laplacian + rate / (n + 1) ** 2 * ops.exp(u))

    solver = "newton-gmres:linear_solver.restart=80"
    return fixed_point(relaxed, np.zeros((n, n)), solver=solver, batched=False, rtol=1e-8)


rate = 3.0
for step in range(5):
    peak, slope = value_and_grad(lambda rate: ops.max(bratu(rate)))(rate)
    rate = rate - (peak - 0.5) / slope
print("rate:", rate, "peak:", peak)
assert abs(peak - 0.5) < 1e-6
