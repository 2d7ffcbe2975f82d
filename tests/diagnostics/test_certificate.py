"""The certificate: every bound holds, and where there is none the reason is right."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest

from equilib import FixedPointProblem
from equilib.diagnostics import Trust, certify, jacobian_norm
from tests.arrays_under_test import lift
from tests.diagnostics.linear_maps import linear_problem, rotation
from tests.problems import BADLY_SCALED, EXPANSIVE, LINEAR, NO_FIXED_POINT, ROTATION, TANH, KnownMap

CONTRACTIONS = (LINEAR, ROTATION, TANH)


def distances(known: KnownMap, z: np.ndarray) -> np.ndarray:
    """Return the rms distance of each sample to its fixed point."""
    assert known.solution is not None
    return np.sqrt(np.mean((z - known.solution) ** 2, axis=1))


def nearby(known: KnownMap, rng: np.random.Generator, size: float = 1e-2) -> np.ndarray:
    """Return points at some distance from the fixed points."""
    assert known.solution is not None
    return known.solution + size * rng.standard_normal(known.solution.shape)


@pytest.mark.parametrize("known", CONTRACTIONS, ids=str)
def test_the_fixed_point_is_within_the_bound(known: KnownMap, xp: ModuleType, rng: np.random.Generator) -> None:
    """Where f contracts there is a bound, the distance is below it, and it is no more than a contraction allows."""
    z = nearby(known, rng)
    found = certify(known.problem(xp), lift(xp, z))
    norms = np.linalg.norm(known.jacobians(), 2, axis=(1, 2))
    assert set(found.trust) == {Trust.ESTIMATED}
    assert set(found.reason) == {""}
    assert (distances(known, z) <= found.bound).all()
    assert (found.bound <= 1.2 * (1 + norms) / (1 - norms) * distances(known, z)).all()


def test_the_bound_is_sharp_for_a_shrinking_map() -> None:
    """For f(z) = 0.9 z the bound is the distance itself."""
    found = certify(linear_problem(0.9 * np.eye(3)[None]), np.full((1, 3), 2.0))
    assert found.bound[0] == pytest.approx(2.0)
    assert found.contraction[0] == pytest.approx(0.9)
    assert found.residual_norm[0] == pytest.approx(0.2)


@pytest.mark.parametrize(("rate", "dtype"), [(1e-3, np.float64), (1e-6, np.float64), (1e-3, np.float32)])
def test_the_distance_is_told_where_the_residual_is_small_everywhere(rate: float, dtype: type) -> None:
    """On gradient steps of Rosenbrock's function, in its valley: residuals of 1e-3 and less, a distance of order 1."""

    def f(z: Any) -> Any:
        x, y = z[:, 0], z[:, 1]
        return z - dtype(rate) * anp.stack([400 * x**3 - 400 * x * y + 2 * x - 2, 200 * (y - x**2)], axis=1)

    z = np.array([[0.62, 0.382], [1 + 1e-4, 1 + 2e-4]], dtype)
    found = certify(FixedPointProblem(f), z)
    assert (found.residual_norm < 2e-3 * rate / 1e-3).all()
    assert found.distance[0] > 0.1
    assert found.distance[1] < 1e-2


def test_rounding_counts() -> None:
    """In float32 a residual of zero is known to rounding only: so is the distance, 1e6 times that near the identity."""
    c = np.ones((1, 4), np.float32)
    found = certify(FixedPointProblem(lambda z: z - np.float32(1e-6) * (z - c)), c)
    assert found.residual_norm[0] == 0
    assert found.distance[0] == pytest.approx(0.12, rel=0.9)
    assert certify(FixedPointProblem(lambda z: 0.5 * z + 0.5 * c), c, lipschitz=0.5).bound[0] > 1e-7


def test_a_small_spectral_radius_promises_no_bound() -> None:
    """Where J is far from normal ‖f(z) − z‖ / (1 − ρ(J)) is far below the distance, and is not claimed."""
    A = np.array([[0.5, 50.0], [0.0, 0.1]])
    z = np.array([[100.0, 1.0]])
    found = certify(linear_problem(A[None]), z)
    assert found.residual_norm[0] / (1 - 0.5) < 2 < 50 < np.sqrt(np.mean(z**2))
    assert found.bound[0] == np.inf
    assert found.trust == (Trust.UNKNOWN,)
    assert found.reason[0] == "f does not contract at z: ‖J‖₂ is up to 50, although the spectral radius 0.5 is below 1"


def test_an_expansive_map_gets_no_bound() -> None:
    """Near −4 no distance follows from the residual, and the spectral radius is named."""
    found = certify(EXPANSIVE.problem(), EXPANSIVE.solution)
    assert set(found.trust) == {Trust.UNKNOWN}
    assert all("and its spectral radius is" in reason for reason in found.reason)


def test_a_map_without_fixed_point_gets_no_bound() -> None:
    """f(z) = z + 1 has J = I, which is no contraction."""
    found = certify(NO_FIXED_POINT.problem(), NO_FIXED_POINT.z0)
    assert np.isinf(found.bound).all()


def test_a_contraction_that_ends_before_the_fixed_point_is_noticed() -> None:
    """f(z) = z² + 0.26 has no fixed point; it contracts at 0.45, but not as far as one would have to be."""
    square = FixedPointProblem(lambda z: z * z + 0.26, jvp=lambda z, v: 2 * z * v, vjp=lambda z, w: 2 * z * w)
    found = certify(square, np.array([[0.45]]), probes=8)
    assert found.trust == (Trust.UNKNOWN,)
    assert "within the distance where the fixed point would be" in found.reason[0]


def test_a_given_constant_is_a_proof() -> None:
    """With a Lipschitz constant known by construction no derivative is needed, and the bound is proven."""
    problem = FixedPointProblem(lambda z: 0.5 * np.cos(z))
    found = certify(problem, np.zeros((2, 3)), lipschitz=0.5)
    np.testing.assert_allclose(found.bound, 1.0)
    assert set(found.trust) == {Trust.PROVEN}


def test_a_given_constant_of_one_proves_nothing() -> None:
    """Without contraction a constant gives no bound, whatever the residual."""
    found = certify(FixedPointProblem(np.cos), np.zeros((1, 1)), lipschitz=1.0)
    assert found.reason == ("the Lipschitz constant 1 is not below 1, so f need not contract",)


def test_a_poisoned_sample_gets_a_reason_of_its_own() -> None:
    """A nan in one sample leaves the bounds of the others as they are."""
    found = certify(LINEAR.poisoned(2).problem(), LINEAR.z0)
    alone = certify(LINEAR.problem(), LINEAR.z0)
    others = [0, 1, 3, 4]
    assert found.reason[2] == "f(z) is not finite; check the point and the scale of the parameters"
    assert found.trust[2] is Trust.UNKNOWN
    np.testing.assert_allclose(found.bound[others], alone.bound[others], rtol=1e-12)


def test_the_norm_is_that_of_the_jacobian(xp: ModuleType) -> None:
    """With a whole Krylov space the norm is exact, also where J is badly scaled and not normal."""
    found = jacobian_norm(BADLY_SCALED.problem(xp), lift(xp, BADLY_SCALED.solution))
    np.testing.assert_allclose(found, np.linalg.norm(BADLY_SCALED.jacobians(), 2, axis=(1, 2)), rtol=1e-8)
    np.testing.assert_allclose(jacobian_norm(linear_problem(rotation(1.2, 0.9)[None]), np.ones((1, 2))), 0.9)


def test_the_norm_is_never_underestimated(rng: np.random.Generator) -> None:
    """A Krylov space far smaller than the state gives a value above the norm, by no more than the allowance."""
    matrices = rng.standard_normal((30, 100, 100)) / 10
    norms = np.linalg.norm(matrices, 2, axis=(1, 2))
    found = jacobian_norm(linear_problem(matrices), np.ones((30, 100)), dimension=20)
    assert (found >= norms).all()
    assert (found <= 1.2 * norms).all()


def test_too_few_products_say_nothing(rng: np.random.Generator) -> None:
    """Three products cannot bound the norm of a large matrix, so there is no bound and the next step is named."""
    found = certify(linear_problem(0.1 * rng.standard_normal((1, 50, 50)) / 7), np.ones((1, 50)), dimension=3)
    assert found.reason == ("3 products with J say nothing about its norm; raise dimension",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lipschitz": -0.1}, "lipschitz must not be negative, got -0.1"),
        ({"probes": -1}, "probes must not be negative, got -1"),
        ({"dimension": 0}, "dimension must be positive, got 0"),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    """A mistake in an option is named with its value."""
    with pytest.raises(ValueError, match=message):
        certify(LINEAR.problem(), LINEAR.z0, **options)  # type: ignore[arg-type]


def test_an_invariant_space_needs_no_allowance() -> None:
    """For f(z) = 0.9 z one product tells all about a large state, so the norm is exact."""
    found = jacobian_norm(linear_problem(0.9 * np.eye(50)[None]), np.ones((1, 50)), dimension=5)
    assert found[0] == pytest.approx(0.9, rel=1e-12)
