"""Solves do not depend on the size of what is solved: the whole range of every dtype, half precision, subnormals."""

from __future__ import annotations

import numpy as np
import pytest

from equilib import FixedPointProblem, solve
from tests.installed import solvers

SIZES = [
    *((np.float16, each) for each in (1e-3, 1.0, 4e3)),
    *((np.float32, each) for each in (1e-37, 1e-25, 1e20, 3e37)),
    *((np.float64, each) for each in (1e-300, 1e-160, 1e160, 1e300)),
]


OURS = [each for each in solvers() if not each.id.startswith(("scipy:", "sundials:"))]


@pytest.mark.parametrize("solver", OURS)
@pytest.mark.parametrize(("dtype", "size"), SIZES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_contraction_is_solved_at_every_size(solver: object, dtype: type, size: float) -> None:
    """z M + c b has the fixed point c (I − Mᵀ)⁻¹ b, and what a solver multiplies stays in range."""
    rng = np.random.default_rng(0)
    M, b = 0.5 * np.linalg.qr(rng.standard_normal((4, 4)))[0], rng.standard_normal(4)
    matrix, bias = M.astype(dtype), (b * size).astype(dtype)
    problem = FixedPointProblem(lambda z: z @ matrix + bias, jvp=lambda z, v: v @ matrix, vjp=lambda z, w: w @ matrix.T)
    rtol = 1e-2 if dtype is np.float16 else 1e-3
    found = solve(problem, solver, np.zeros((2, 4), dtype), atol=0.0, rtol=rtol, on_failure="raise")  # type: ignore[arg-type]
    expected = np.linalg.solve((np.eye(4) - M).T, b)
    np.testing.assert_allclose(found.z.astype(np.float64) / size, np.tile(expected, (2, 1)), atol=5 * rtol)
