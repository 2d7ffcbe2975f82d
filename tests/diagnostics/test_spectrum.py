"""The spectral radius: right where the power method is not, and honest about its error."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, ops
from equilib.diagnostics import RadiusStatus, certify, spectral_radius
from equilib.diagnostics.certificate import jacobian_norm
from tests.arrays_under_test import lift
from tests.diagnostics.linear_maps import linear_problem, rotation
from tests.problems import ROTATION, STEEP, TANH, KnownMap


def radii(matrices: np.ndarray) -> np.ndarray:
    """Return the largest modulus of an eigenvalue of each matrix."""
    return np.abs(np.linalg.eigvals(matrices)).max(axis=1)


def test_a_rotation_keeps_its_radius() -> None:
    """The radius of 0.9 times a rotation by 1.2 is 0.9, though every Rayleigh quotient of it is 0.326."""
    found = spectral_radius(linear_problem(rotation(1.2, scale=0.9)[None]), np.ones((1, 2)))
    assert found.radius[0] == pytest.approx(0.9, rel=1e-12)
    assert found.eigenvalue[0] == pytest.approx(0.9 * np.exp(1.2j), rel=1e-12)
    assert found.status == (RadiusStatus.CONVERGED,)
    assert found.error[0] < 1e-12


@pytest.mark.parametrize("known", [ROTATION, STEEP, TANH], ids=str)
def test_the_radius_is_that_of_each_samples_jacobian(known: KnownMap, xp: ModuleType) -> None:
    """With a whole Krylov space it is the radius of the dense Jacobian, on every array library."""
    found = spectral_radius(known.problem(xp), lift(xp, known.solution))
    np.testing.assert_allclose(found.radius, radii(known.jacobians()), rtol=1e-8)
    assert set(found.status) == {RadiusStatus.CONVERGED}


def test_single_precision_suffices(xp: ModuleType) -> None:
    """A float32 map gives the radius to float32's accuracy."""
    found = spectral_radius(TANH.problem(xp, dtype="float32"), lift(xp, TANH.solution, "float32"))
    np.testing.assert_allclose(found.radius, radii(TANH.jacobians()), rtol=1e-4)


def test_the_derivatives_may_come_from_autodiff_and_states_may_be_images(rng: np.random.Generator) -> None:
    """For f(z) = d·z elementwise on images the radius is the largest |d| of the sample."""
    slopes = rng.uniform(-1, 1, (2, 2, 3, 2))
    found = spectral_radius(FixedPointProblem(lambda z: ops.multiply(z, slopes)), np.ones((2, 2, 3, 2)))
    np.testing.assert_allclose(found.radius, np.abs(slopes).reshape(2, -1).max(axis=1), rtol=1e-10)


def test_the_error_estimate_is_of_the_size_of_the_error(rng: np.random.Generator) -> None:
    """With a Krylov space far smaller than the state the error stays below three times its estimate."""
    matrices = rng.standard_normal((20, 60, 60)) / np.sqrt(60) + 1.5 * np.eye(60)[None] * (np.arange(60) == 7)
    found = spectral_radius(linear_problem(matrices), np.ones((20, 60)), dimension=12)
    error = np.abs(found.radius - radii(matrices))
    assert error.max() > 1e-6
    assert (error <= 3 * found.error).all()
    assert found.products == 12


def test_a_radius_that_is_not_found_is_not_claimed(rng: np.random.Generator) -> None:
    """Eigenvalues spread over a disk defeat four products, and the status says so."""
    matrices = rng.standard_normal((3, 80, 80)) / np.sqrt(80)
    found = spectral_radius(linear_problem(matrices), np.ones((3, 80)), dimension=4)
    assert set(found.status) == {RadiusStatus.UNCONVERGED}
    assert "raise dimension" in found.status[0].value


def test_a_jordan_block_is_too_sensitive_for_a_number() -> None:
    """A nilpotent map has radius 0, rounding makes it look larger, and the error estimate admits as much."""
    found = spectral_radius(linear_problem(np.diag(np.ones(11), 1)[None]), np.ones((1, 12)))
    assert found.status == (RadiusStatus.SENSITIVE,)
    assert found.radius[0] <= 3 * found.error[0]


def test_a_constant_map_has_radius_zero() -> None:
    """Where J is zero the radius is exactly zero, and converged."""
    found = spectral_radius(linear_problem(np.zeros((1, 3, 3))), np.ones((1, 3)))
    assert (found.radius[0], found.error[0]) == (0, 0)
    assert found.status == (RadiusStatus.CONVERGED,)


def test_a_poisoned_sample_does_not_hurt_the_others() -> None:
    """A nan in one sample gives it a status, and leaves the other radii as they are."""
    found = spectral_radius(TANH.poisoned(1).problem(), TANH.solution)
    others = [0, 2, 3, 4]
    assert found.status[1] is RadiusStatus.NONFINITE
    assert np.isnan(found.radius[1])
    np.testing.assert_allclose(found.radius[others], radii(TANH.jacobians())[others], rtol=1e-8)


def test_the_krylov_space_must_have_a_dimension() -> None:
    """A dimension of zero is refused."""
    with pytest.raises(ValueError, match="dimension must be positive, got 0"):
        spectral_radius(TANH.problem(), TANH.solution, dimension=0)


@pytest.mark.parametrize("function", [spectral_radius, certify, jacobian_norm])
def test_problem_and_state_are_what_they_are_called(function: Any) -> None:
    """A function, a list and an array of integers are refused by a sentence that names the argument."""
    problem, z = FixedPointProblem(ops.cos), np.zeros((2, 3))
    for arguments, sentence in [
        ((np.cos, z), "problem must be a FixedPointProblem, got a ufunc"),
        ((problem, [[0.0]]), "z must be an array, .* got a list"),
        ((problem, z.astype(int)), "z must hold floating-point numbers, it is of int64"),
        ((problem, z * 1j), "z must be real, it is of complex128"),
    ]:
        with pytest.raises(TypeError, match=f"^{sentence}"):
            function(*arguments)
