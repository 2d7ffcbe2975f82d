from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import solve
from equilib.testing import Check, solver_checks
from equilib_linear_solvers.library import LibraryGMRES
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import NAMESPACES, cupy_in_place, lift, lower
from tests.problems import LINEAR


def systems(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw regular nonsymmetric matrices and right-hand sides of different sizes."""
    A = rng.standard_normal((4, 8, 8)) / 3 + 2 * np.eye(8)
    return A, rng.standard_normal((4, 8)) * np.array([1.0, 3.0, 0.3, 10.0])[:, None]


def library(
    A: np.ndarray, b: Any, rtol: float = 1e-10, restart: int = 40, active: Any = True, **options: Any
) -> tuple[Any, int]:
    """Return the library's solution and the number of products it took."""
    calls = 0

    def matvec(v: Any) -> Any:
        nonlocal calls
        calls += 1
        return np.einsum("bij,bj...->bi...", A, v).astype(v.dtype)

    solver = LibraryGMRES(restart, **options)
    mask = np.broadcast_to(active, (len(b),))
    return solver.solve(matvec, b, rtol=np.full(len(b), rtol), active=mask), calls


@pytest.mark.parametrize("balance", [True, False])
def test_the_library_reaches_the_tolerance_of_every_sample(balance: bool, rng: np.random.Generator):
    """‖b − A x‖ ≤ rtol·‖b‖ for each sample, the small ones too, though the library tests the whole batch."""
    A, b = systems(rng)
    for rtol in (1e-2, 1e-6, 1e-10):
        x, _ = library(A, b, rtol, balance=balance)
        residual = np.linalg.norm(b - np.einsum("bij,bj->bi", A, x), axis=1)
        assert np.all(residual <= rtol * np.linalg.norm(b, axis=1) * (1 + 1e-9))


def test_the_library_does_one_cycle(rng: np.random.Generator):
    """No more products are taken than `restart`, but for the residual that SciPy starts from."""
    A, b = systems(rng)
    for restart in (1, 3, 6):
        x, calls = library(A, b, restart=restart)
        assert calls <= restart + 1
        norms = [np.linalg.norm(each) for each in (b - np.einsum("bij,bj->bi", A, x), b)]
        assert norms[0] < norms[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_library_keeps_shape_and_dtype(dtype: str, rng: np.random.Generator):
    """x has the shape and the dtype of b."""
    A, b = systems(rng)
    x, _ = library(A, b.astype(dtype)[:, :, None], rtol=1e-4)
    assert x.shape == (4, 8, 1)
    assert x.dtype == dtype


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_the_library_leaves_out_what_it_cannot_use(value: float, rng: np.random.Generator):
    """Sides that are zero or not finite, and inactive samples, get zeros; the others are solved all the same."""
    A, b = systems(rng)
    b[1], A[3] = value, np.nan
    x, _ = library(A, b, active=np.array([True, True, True, False]))
    assert not x[[1, 3]].any()
    np.testing.assert_allclose(x[[0, 2]], np.linalg.solve(A[[0, 2]], b[[0, 2], :, None])[:, :, 0], rtol=1e-8)
    nothing, calls = library(A, np.full((4, 8), value))
    assert calls == 0
    assert not nothing.any()


def on_cupy(A: np.ndarray, b: np.ndarray, rtol: float, restart: int = 40) -> tuple[np.ndarray, int]:
    """Return CuPy's solution and the number of products it took."""
    xp, calls = NAMESPACES["cupy"], []

    def matvec(v: Any) -> Any:
        calls.append(1)
        return xp.matmul(lift(xp, A, str(v.dtype)), v[:, :, None])[:, :, 0]

    rtols, active = np.full(len(b), rtol), np.ones(len(b), bool)
    with cupy_in_place():
        x = LibraryGMRES(restart).solve(matvec, lift(xp, b), rtol=rtols, active=active)
    assert x.dtype == b.dtype
    return lower(x), len(calls)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-10), ("float64", 1e-3), ("float32", 1e-4)])
def test_cupys_gmres_takes_no_more_products_than_scipys(dtype: str, rtol: float, rng: np.random.Generator):
    """Answers agree to the tolerance, and CuPy's habit of whole cycles costs no product."""
    A, b = (each.astype(dtype) for each in systems(rng))
    expected, calls = library(A, b, rtol)
    found, products = on_cupy(A, b, rtol)
    assert products <= calls
    size = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found / size, expected / size, atol=10 * rtol)


@pytest.mark.parametrize("restart", [1, 20])
@pytest.mark.parametrize("scale", [2.0, -1.1, 1.0])
def test_cupys_gmres_survives_a_happy_breakdown(scale: float, restart: int, rng: np.random.Generator):
    """On a multiple of the identity the answer is exact, after one product, to a tolerance that nobody reaches too."""
    _, b = systems(rng)
    for rtol, most in ((1e-6, 1), (0.0, 2)):
        x, products = on_cupy(np.broadcast_to(scale * np.eye(8), (4, 8, 8)).copy(), b, rtol, restart)
        assert products <= most
        np.testing.assert_allclose(x, b / scale, rtol=1e-12)


def test_cupys_gmres_goes_on_where_the_residual_stands_still():
    """On a cyclic shift no product but the last reduces the residual; then the answer is exact."""
    A, b = np.roll(np.eye(6), 1, axis=0)[None], np.eye(6)[:1]
    x, products = on_cupy(A, b, 1e-10)
    assert products == 6
    np.testing.assert_allclose(x, np.linalg.solve(A[0], b[0])[None], atol=1e-12)


def test_cupys_gmres_returns_what_it_has_where_a_product_fails(rng: np.random.Generator):
    """A product that is not finite ends the cycle with finite numbers."""
    A, b = systems(rng)
    A[2, 3, 3] = np.nan
    x, _ = on_cupy(A, b, 1e-6)
    assert np.isfinite(x).all()


@pytest.mark.parametrize("scale", [2.0, -1.1])
def test_the_library_survives_a_happy_breakdown(scale: float, rng: np.random.Generator):
    """On a multiple of the identity the answer is exact."""
    _, b = systems(rng)
    x, _ = library(np.broadcast_to(scale * np.eye(8), (4, 8, 8)), b)
    np.testing.assert_allclose(x, b / scale, rtol=1e-12)


def test_the_library_knows_its_own_arrays_only():
    """Arrays that neither SciPy nor CuPy takes are refused, with what to use instead."""
    import array_api_strict as xp

    with pytest.raises(TypeError, match="not on array_api_strict's; use linear_solver=gmres"):
        solve(LINEAR.problem(xp), NewtonGMRES(LibraryGMRES()), lift(xp, LINEAR.z0))


@pytest.mark.parametrize(
    "check",
    solver_checks(NewtonGMRES(LibraryGMRES()), couples_samples=True, needs=("jvp",), backends=("numpy", "cupy")),
    ids=str,
)
def test_as_a_solver_that_couples_samples_it_keeps_its_contract(check: Check):
    """Among other laws, a sample's answer alone is that in its batch to ten times the tolerance."""
    check()
