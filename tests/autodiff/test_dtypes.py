"""Dtypes of derivatives: those of what they belong to, whatever autograd's rules make of them."""

from __future__ import annotations

from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
from autograd.scipy.special import logsumexp

from equilib import FixedPointProblem, ImplicitAdjoint, JacobianFree, Unrolled, ops, solve
from equilib.autodiff import linearize, value_and_grad
from equilib_newton_dense.solver import NewtonDense
from equilib_newton_gmres.solver import NewtonGMRES

WEIGHT = (0.1 * np.random.default_rng(0).standard_normal((4, 4))).astype(np.float32)
X = (0.3 + 0.2 * np.random.default_rng(1).random((3, 4))).astype(np.float32)

MAPS: dict[str, Any] = {
    "mean": lambda z, x: 0.3 * anp.mean(z, axis=1, keepdims=True) + 0.2 * z + x,
    "mean of all": lambda z, x: 0.01 * anp.mean(z * x) + 0.2 * z + x,
    "max": lambda z, x: 0.3 * anp.max(z, axis=1, keepdims=True) + x,
    "min": lambda z, x: 0.3 * anp.min(z, axis=-1)[:, None] + x,
    "where": lambda z, x: anp.where(x > 0.4, 0.5 * z, 0.1 * x) + x,
    "power of a number": lambda z, x: 0.1 * 2**z + x,
    "power": lambda z, x: 0.1 * z**2 + x**3,
    "power of an array": lambda z, x: 0.1 * anp.abs(x) ** z + x,
    "sum": lambda z, x: 0.1 * anp.sum(z, axis=1, keepdims=True) + x,
    "var": lambda z, x: 0.2 * anp.var(z, axis=1, keepdims=True) + 0.1 * z + x,
    "std": lambda z, x: 0.2 * anp.std(z + anp.arange(4.0).astype("f"), axis=1, keepdims=True) + x,
    "norm": lambda z, x: 0.1 * anp.linalg.norm(z + 1, axis=1)[:, None] + x,
    "logsumexp": lambda z, x: 0.1 * logsumexp(z, axis=1, keepdims=True) + x,
    "softmax": lambda z, x: anp.exp(z) / anp.sum(anp.exp(z), axis=1, keepdims=True) * 0.5 + x,
    "concatenate": lambda z, x: anp.concatenate([0.3 * z[:, :2], 0.2 * z[:, 2:]], axis=1) + x,
    "stack": lambda z, x: anp.stack([0.1 * z[:, i] for i in range(4)], axis=1) + x,
    "clip": lambda z, x: 0.5 * anp.clip(z, -0.3, 0.3) + x,
    "maximum": lambda z, x: anp.maximum(0.2 * z, 0.01) + x,
    "division": lambda z, x: 0.1 / (1 + z**2) + x,
    "matrix": lambda z, x: anp.tanh(anp.dot(z, WEIGHT) + x),
    "einsum": lambda z, x: anp.einsum("ij,jk->ik", z, WEIGHT) + x,
    "cumsum": lambda z, x: 0.1 * anp.cumsum(z, axis=1) + x,
    "promoted in between": lambda z, x: (0.1 * (z @ WEIGHT.astype(np.float64))).astype(np.float32) + x,
    "operations of equilib": lambda z, x: 0.3 * ops.mean(z, axis=1, keepdims=True) + x,
}


@pytest.mark.parametrize("name", MAPS)
def test_a_float32_map_is_solved_and_differentiated_in_float32(name: str):
    """Values, products, cotangents and gradients are float32, and those of float64 to its rounding."""
    f = MAPS[name]
    z0, v = np.full((3, 4), 0.4, np.float32), np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    single, double = linearize(f, z0, X), linearize(f, z0.astype(float), X.astype(float))
    for found, expected in [
        (single.value, double.value),
        (single.jvp(v), double.jvp(v.astype(float))),
        *zip(single.vjp(v, (0, 1)), double.vjp(v.astype(float), (0, 1)), strict=True),
    ]:
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)
    for solver in (NewtonGMRES(), NewtonDense()):
        problem = FixedPointProblem(f, X)
        solution = solve(problem, solver, z0, rtol=1e-5)
        for sensitivity in (ImplicitAdjoint(), JacobianFree(), Unrolled(3)):
            assert sensitivity.pullback(problem, solution, v).inputs[0].dtype == np.float32
    value, gradient = value_and_grad(lambda x: anp.mean(f(x, x) ** 2))(X)
    assert (value.dtype, gradient.dtype) == (np.float32, np.float32)


@pytest.mark.parametrize("constant", [np.ones((3, 4)), np.sqrt(2.0), np.arange(4)], ids=["array", "scalar", "integers"])
def test_what_promotes_the_value_of_f_is_named(constant: Any):
    """A float64 of the user's own is no leak: it doubles the work, so it is refused with the way out."""
    for solver in (NewtonGMRES(), NewtonDense()):
        with pytest.raises(ValueError, match=r"f must keep the dtype of z: float32 became float64; give its inputs"):
            solve(lambda z: 0.1 * z * constant + constant, solver, np.zeros((3, 4), np.float32))
