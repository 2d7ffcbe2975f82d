from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from equilib import Affine, ImplicitAdjoint, solve
from equilib.numerics.bicgstab import BiCGStab
from equilib.options import OptionError
from tests.arrays_under_test import lift, lower
from tests.problems import BADLY_SCALED, LINEAR, ROTATION, SIZE, STEEP, TANH, KnownMap

ALL = np.ones(4, dtype=bool)


def systems(rng: np.random.Generator, size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return well-conditioned matrices that are not symmetric, and right-hand sides of different sizes."""
    A = 2 * np.eye(size) + 0.6 * rng.standard_normal((4, size, size)) / size**0.5
    return A, rng.standard_normal((4, size)) * 10.0 ** np.arange(-6, 2, 2)[:, None]


def run(A: np.ndarray, b: np.ndarray, xp: ModuleType = np, *, products: int = 40, rtol=1e-10, active=ALL):
    """Solve and count the products."""
    count, matrix = [0], lift(xp, A)

    def matvec(v):
        count[0] += 1
        return xp.matmul(matrix, v[:, :, None])[:, :, 0]

    x = BiCGStab(products).solve(matvec, lift(xp, b), rtol=np.broadcast_to(rtol, (4,)), active=active)
    return lower(x), count[0]


def test_it_solves_to_the_tolerance(rng: np.random.Generator, xp: ModuleType):
    """‖b − A x‖ ≤ rtol ‖b‖ for each sample's own tolerance, whatever the size of its b."""
    A, b = systems(rng)
    rtol = np.array([1e-2, 1e-5, 1e-8, 1e-11])
    x, count = run(A, b, xp, rtol=rtol)
    residual = b - np.einsum("bij,bj->bi", A, x)
    assert np.all(np.linalg.norm(residual, axis=1) <= rtol * np.linalg.norm(b, axis=1) * 1.01)
    assert count % 2 == 0
    assert count < 40


def test_samples_do_not_mix(rng: np.random.Generator):
    """A sample's bits are the same alone, beside nan, beside a zero and beside one that is not active."""
    A, b = systems(rng)
    x, _ = run(A, b)
    spoilt, other = A.copy(), b.copy()
    spoilt[1, 0, 0], other[2] = np.nan, 0.0
    y, _ = run(spoilt, other, active=np.array([True, True, True, False]))
    np.testing.assert_array_equal(y[0], x[0])
    assert not y[1:].any()
    other[0] = np.inf
    assert not run(A, other)[0][0].any()


def test_it_spends_no_more_products_than_allowed(rng: np.random.Generator):
    """With `products` products it returns its best iterate, which is never worse than zero."""
    A, b = systems(rng)
    left = [np.linalg.norm(b, axis=1)]
    for products in (2, 3, 4, 6):
        x, count = run(A, b, products=products, rtol=0.0)
        assert count == 2 * (products // 2)
        left.append(np.linalg.norm(b - np.einsum("bij,bj->bi", A, x), axis=1))
    assert np.all(np.diff(left, axis=0) <= 1e-14)


def test_where_the_residual_jumps_the_best_iterate_counts(rng: np.random.Generator):
    """On strongly rotating matrices the residual goes up and down; what is returned only improves."""
    skew = rng.standard_normal((4, 8, 8))
    A = 0.2 * np.eye(8) + skew - np.swapaxes(skew, 1, 2)
    b = rng.standard_normal((4, 8))
    left = []
    for products in range(2, 24, 2):
        x, _ = run(A, b, products=products, rtol=1e-12)
        left.append(np.linalg.norm(b - np.einsum("bij,bj->bi", A, x), axis=1))
    assert np.all(left[0] <= np.linalg.norm(b, axis=1) * (1 + 1e-12))
    assert np.all(np.diff(left, axis=0) <= 1e-9)


def test_nothing_is_spent_on_nothing(rng: np.random.Generator):
    """Without an active sample there is no product."""
    A, b = systems(rng)
    x, count = run(A, b, active=~ALL)
    assert count == 0
    assert not x.any()


def test_the_identity_takes_one_iteration(rng: np.random.Generator):
    """The exact solution inside an iteration is no breakdown."""
    _, b = systems(rng)
    x, count = run(np.broadcast_to(np.eye(8), (4, 8, 8)), b)
    np.testing.assert_allclose(x, b, rtol=1e-14)
    assert count == 2


def test_a_skew_matrix_breaks_down_without_harm(rng: np.random.Generator):
    """Where the method has no step, zero is returned, and the other samples are solved."""
    A, b = systems(rng)
    A[0] = np.kron(np.eye(4), [[0.0, 1.0], [-1.0, 0.0]])
    x, _ = run(A, b)
    assert np.isfinite(x).all()
    assert np.linalg.norm(b[0] - A[0] @ x[0]) <= np.linalg.norm(b[0])
    np.testing.assert_array_equal(x[1:], run(*systems(np.random.default_rng(20)))[0][1:])


@pytest.mark.parametrize("known", [LINEAR, TANH, ROTATION, STEEP, BADLY_SCALED], ids=str)
def test_it_serves_the_implicit_adjoint(known: KnownMap, rng: np.random.Generator, xp: ModuleType):
    """It finds w = (I − J)⁻ᵀ g as `ImplicitAdjoint(Affine(BiCGStab()))`."""
    problem, z = known.problem(xp, by_hand=False), lift(xp, known.solution)
    solution = solve(problem, Affine(), z, rtol=1e-3, on_failure="record", max_steps=0)
    g = rng.standard_normal(known.z0.shape)
    adjoint = ImplicitAdjoint(Affine(BiCGStab()), rtol=1e-10, max_steps=20).pullback(problem, solution, lift(xp, g))
    J = np.swapaxes(known.jacobians(), 1, 2)
    expected = np.linalg.solve(np.eye(SIZE) - J, g[:, :, None])[:, :, 0]
    assert adjoint.solves[0].success
    scale = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(lower(adjoint.solves[0].z) / scale, expected / scale, atol=1e-7)


def test_float32_stays_float32(rng: np.random.Generator, xp: ModuleType):
    """No constant widens the dtype."""
    A, b = systems(rng)
    x, _ = run(A.astype(np.float32), b.astype(np.float32), xp, rtol=1e-5)
    assert x.dtype == np.float32
    residual = b - np.einsum("bij,bj->bi", A, x)
    assert np.all(np.linalg.norm(residual, axis=1) <= 2e-5 * np.linalg.norm(b, axis=1))


def test_options_out_of_range_are_refused():
    """One product is half an iteration."""
    with pytest.raises(OptionError, match="products"):
        BiCGStab(1)
