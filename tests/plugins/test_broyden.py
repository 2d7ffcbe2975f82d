from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, Status, solve
from equilib.errors import NoDerivativeError
from equilib.fixed_points.evaluator import Evaluator
from equilib.numerics.dense import StateTooLargeError
from equilib.numerics.low_rank import LowRankInverse
from equilib.options import OptionError
from equilib_broyden.dense import DenseInverse
from equilib_broyden.full import Broyden
from equilib_broyden.iteration import InverseJacobian
from equilib_broyden.limited import LimitedMemoryBroyden
from tests.arrays_under_test import lower
from tests.plugins.secant_updates import taught
from tests.plugins.solver_laws import SolverLaws, counting, solve_map
from tests.problems import EXPANSIVE, LINEAR, ROTATION, SIZE, STEEP, TANH, KnownMap


class TestBroyden(SolverLaws):
    """The laws of every solver."""

    solver = Broyden()
    derivatives = ("jvp",)


class TestFromTheIdentity(SolverLaws):
    """The laws of every solver, always beginning at −I."""

    solver = Broyden(jacobian="identity")


class TestFromTheJacobian(SolverLaws):
    """The laws of every solver, beginning at the true Jacobian."""

    solver = Broyden(jacobian="products")
    derivatives = ("jvp",)


@pytest.mark.parametrize("known", [LINEAR, ROTATION], ids=str)
def test_from_the_true_jacobian_an_affine_map_takes_one_step(known: KnownMap):
    """With H the inverse of J − I the first step is Newton's, for SIZE products."""
    solution = solve_map(known, Broyden(jacobian="products"), rtol=1e-9)
    assert set(solution.steps) == {1}
    assert solution.njvp == SIZE


def test_a_restart_takes_the_jacobian_of_the_place():
    """After a step that led beyond the domain, H is the true inverse again, and half of its step is tried."""
    problem = FixedPointProblem(lambda z: z - np.log(z), jvp=lambda z, v: v - v / z)
    z0, solver = np.array([[1.2], [4.0]]), Broyden(jacobian="products")
    options = {"rtol": 1e-9, "on_failure": "record"}
    first = solve(problem, solver, z0, max_steps=1, **options).state
    assert first.rejections.tolist() == [0, 2]
    second = solve(problem, solver, z0, max_steps=2, **options).state
    np.testing.assert_allclose(second.z[1], 4 - 0.5 * 4 * np.log(4.0))
    assert solve(problem, solver, z0, **options).success


RATES = np.array([[1.0], [3.0]])


def logarithm(rates: np.ndarray = RATES, **derivatives: Any) -> FixedPointProblem:
    """Return z ↦ z − c log z, which cannot be traced; from 4 a Picard step with c = 3 leaves the domain."""
    return FixedPointProblem(lambda z: z - rates * np.log(np.asarray(z)), **derivatives)


def test_a_step_out_of_the_domain_leads_to_the_true_jacobian():
    """Only the sample whose trial failed begins again, with half a Newton step from the guess; one J·v per element."""
    problem = logarithm(jvp=lambda z, v: v - RATES * v / z)
    z0, options = np.array([[1.1], [4.0]]), {"rtol": 1e-9, "on_failure": "record"}
    before, after = (solve(problem, Broyden(), z0, max_steps=steps, **options) for steps in (1, 2))
    assert before.state.rejections.tolist() == [0, 2]
    assert (before.njvp, after.njvp) == (0, 1)
    np.testing.assert_allclose(after.state.z[1], 4 - 0.5 * 4 * np.log(4.0))
    assert after.state.restarted.tolist() == [False, True]
    alone = solve(logarithm(RATES[:1]), Broyden(), z0[:1], max_steps=2, **options)
    np.testing.assert_array_equal(alone.state.z, after.state.z[:1])
    np.testing.assert_allclose(solve(problem, Broyden(), z0, **options).z, 1.0, rtol=1e-8)


@pytest.mark.parametrize(("fallen", "place"), [(0.05, 7.0), (0.5, 4.0)])
def test_the_first_restart_is_where_it_is_worth_it(fallen: float, place: float):
    """It is at the place where the residual has fallen to a tenth, else at the guess; later ones are where they are."""
    problem = FixedPointProblem(lambda z: 2 * z - 1, jvp=lambda z, v: 2 * v)
    solver, z0, z = Broyden(growth=1e3), np.array([[4.0]]), np.array([[7.0]])
    f = Evaluator(problem, z0)
    guess = solver.init(f, z0)
    there = replace(guess, z=z, residual=z - 1, best=fallen * guess.first, rejections=np.array([2]))
    # Of a linear map the step from the true Jacobian leads to the solution, 1; half of it is tried.
    np.testing.assert_allclose(solver.step(f, there).z, (place + 1) / 2)
    again = replace(there, restarted=np.array([True]), best=6.0 * np.ones(1))
    np.testing.assert_allclose(solver.step(f, again).z, (7.0 + 1) / 2)


@pytest.mark.parametrize(
    "derivatives", [{}, {"vjp": lambda z, w: w - RATES * w / z}], ids=["not traceable", "vjp only"]
)
def test_without_products_it_goes_on_from_the_identity(derivatives: dict[str, Any]):
    """Where J·v cannot be had the iterates are those that begin again at −I; who asks for products gets the error."""
    z0, options = np.array([[1.1], [4.0]]), {"rtol": 1e-9, "max_steps": 40, "on_failure": "record"}
    found, expected = (
        solve(logarithm(**derivatives), Broyden(jacobian=name), z0, **options) for name in ("as-needed", "identity")
    )
    np.testing.assert_array_equal(found.z, expected.z)
    assert found.status == expected.status
    assert (found.nfe, found.njvp) == (expected.nfe + (1 if derivatives else 2), expected.njvp + bool(derivatives))
    with pytest.raises(NoDerivativeError, match=r"jvp=\.\.\."):
        solve(logarithm(**derivatives), Broyden(jacobian="products"), z0, **options)


@pytest.mark.parametrize("error", [TypeError, ValueError, AttributeError, NotImplementedError])
@pytest.mark.parametrize("jacobian", ["as-needed", "products"])
def test_an_error_in_a_given_product_is_not_taken_for_a_missing_one(jacobian: str, error: type[Exception]):
    """Whatever the user's own J·v raises reaches the user."""

    def jvp(z: np.ndarray, v: np.ndarray) -> np.ndarray:
        raise error("a mistake")

    with pytest.raises(error, match="a mistake"):
        solve(logarithm(jvp=jvp), Broyden(jacobian=jacobian), np.array([[1.1], [4.0]]), rtol=1e-9)


def test_samples_that_begin_again_do_so_without_the_finished_ones():
    """Restarts find the guess, and their own Jacobian, of the samples that are left when others have been removed."""
    rates = np.array([[1.0], [3.0], [1.0], [9.0]])
    problem = FixedPointProblem(
        lambda z, c: z - c * np.log(np.asarray(z)), rates, jvp=lambda z, v, c: v - c * v / z, batched_inputs=(True,)
    )
    z0, options = np.array([[1.0], [4.0], [1.1], [9.0]]), {"rtol": 1e-9, "max_steps": 100}
    whole, reduced = (solve(problem, Broyden(), z0, compact=share, **options) for share in (0.0, 1.0))
    assert reduced.sample_nfe < whole.sample_nfe
    assert whole.state.restarted.tolist() == reduced.state.restarted.tolist() == [False, True, False, True]
    np.testing.assert_array_equal(reduced.z, whole.z)


@pytest.mark.parametrize("slope", [1.0, np.nan, np.inf])
def test_a_jacobian_without_inverse_is_replaced_by_the_identity(slope: float):
    """Where J = I, or is not finite, H = −I for that sample, which moves; the others have their inverse."""
    slopes = np.array([[slope, slope], [3.0, 5.0]])
    problem = FixedPointProblem(lambda z: z + 1, jvp=lambda z, v: slopes * v)
    inverse = DenseInverse.beginning(np.zeros((2, 2)), "as-needed")
    with np.errstate(invalid="ignore"):
        matrix = inverse.restarted(problem, np.zeros((2, 2)), np.array([True, True])).matrix
    np.testing.assert_allclose(matrix, [-np.eye(2), np.diag([1 / 2, 1 / 4])])


def test_the_first_step_is_picard():
    """From H = −I the first iterate is f(z₀)."""
    solution = solve_map(TANH, Broyden(), max_steps=1, rtol=0.0)
    np.testing.assert_allclose(solution.state.z, TANH.f(TANH.z0, TANH.bias), rtol=1e-15)


def test_the_update_is_broydens_good_one(rng: np.random.Generator):
    """Of all matrices with B s = y the updated B = H⁻¹ is the nearest to the old one, B + (y − B s) sᵀ / sᵀs."""
    H = rng.standard_normal((3, 4, 4))
    s, y = rng.standard_normal((2, 3, 4))
    updated = taught(DenseInverse(H), s, y)
    np.testing.assert_allclose(updated.apply(y), s, rtol=1e-9)
    B = np.linalg.inv(H)
    missing = y - np.einsum("bij,bj->bi", B, s)
    expected = B + missing[:, :, None] * s[:, None, :] / np.vecdot(s, s)[:, None, None]
    np.testing.assert_allclose(np.linalg.inv(updated.matrix), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    "inverse", [DenseInverse(-np.tile(np.eye(4), (3, 1, 1))), LowRankInverse(5)], ids=["dense", "low"]
)
@pytest.mark.parametrize("size", [np.inf, np.nan])
def test_a_sample_that_can_learn_nothing_keeps_its_inverse(
    inverse: InverseJacobian, size: float, rng: np.random.Generator
):
    """Where a step or its change is not finite, H is what it was; the others learn."""
    s, y, x = rng.standard_normal((3, 3, 4))
    before = taught(inverse, s, y)
    s, y = rng.standard_normal((2, 3, 4))
    s[1], y[1] = size, size
    with np.errstate(all="ignore"):
        after = taught(before, s, y)
        applied, moved = after.apply(x), after.apply(y)
        known = after.apply_updated(x, before.apply(x))
    np.testing.assert_array_equal(applied[1], before.apply(x)[1])
    np.testing.assert_allclose(known, applied, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moved[[0, 2]], s[[0, 2]], rtol=1e-9)


@pytest.mark.parametrize(
    "inverse", [DenseInverse(-np.tile(np.eye(4), (3, 1, 1))), LowRankInverse(5)], ids=["dense", "low"]
)
def test_what_is_too_large_to_be_squared_teaches_all_the_same(inverse: InverseJacobian, rng: np.random.Generator):
    """H y = s for a sample whose squares overflow."""
    s, y = rng.standard_normal((2, 3, 4))
    s[1] *= 1e200
    y[1] *= 1e200
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(taught(inverse, s, y).apply(y), s, rtol=1e-9)


@pytest.mark.parametrize(
    "solver", [Broyden(), Broyden("identity"), LimitedMemoryBroyden(), LimitedMemoryBroyden(2)], ids=str
)
@pytest.mark.parametrize("known", [TANH, EXPANSIVE, STEEP], ids=str)
def test_the_way_to_go_is_the_inverse_times_the_residual(solver: Any, known: KnownMap, xp: ModuleType):
    """However it was come by, through steps that were kept, taken back or restarted, the state's image is H r."""
    for steps in (0, 1, 2, 3, 5, 9, 14):
        state = solve_map(known, solver, xp, max_steps=steps, rtol=0.0, atol=0.0).state
        direct, image = lower(state.inverse.apply(state.residual)), lower(state.image)
        error, size = (np.linalg.norm(each, axis=1) for each in (image - direct, direct))
        assert np.all(error <= 1e-6 * size + 1e-14)


def test_transposed_products_belong_to_the_same_matrix(rng: np.random.Generator):
    """⟨H x, w⟩ = ⟨x, Hᵀ w⟩ for each sample, for states of any shape."""
    inverse = DenseInverse(rng.standard_normal((2, 6, 6)))
    x, w = rng.standard_normal((2, 2, 2, 3))
    left = np.sum(inverse.apply(x) * w, axis=(1, 2))
    np.testing.assert_allclose(left, np.sum(x * inverse.transposed().apply(w), axis=(1, 2)))


@pytest.mark.parametrize("known", [LINEAR, ROTATION], ids=str)
def test_a_linear_map_is_solved_in_twice_its_dimensions(known):
    """On linear systems Broyden's method ends after at most 2n steps (Gay 1979)."""
    solution = solve_map(known, Broyden(growth=1e6), rtol=1e-8)
    assert solution.success
    assert max(solution.steps) <= 2 * SIZE


def test_a_step_that_makes_it_worse_is_taken_back():
    """Accepted residuals never exceed `growth` times the best before them, and expansive maps are solved."""
    solution = solve_map(EXPANSIVE, Broyden(growth=1.5), rtol=1e-8, norm="two")
    best = np.minimum.accumulate(solution.trace, axis=0)
    assert np.all(solution.trace[1:] <= 1.5 * best[:-1] + 1e-12)
    assert solution.success


def test_a_sample_without_any_better_place_stalls():
    """Where every step makes it worse, the sample is given up after `rejections` of them."""
    f = lambda z: z + 1e-3 + np.where(z == 0, 0.0, 9.0)  # noqa: E731
    solution = solve(f, Broyden(rejections=3), np.zeros((2, 1)), rtol=1e-6, on_failure="record")
    assert set(solution.status) == {Status.STALLED}
    assert solution.steps.tolist() == [4, 4]


@pytest.mark.parametrize("options", [{"growth": 0.5}, {"rejections": 0}, {"jacobian": "exact"}])
def test_options_out_of_range_are_refused(options):
    """An option that makes no sense is named."""
    with pytest.raises(OptionError, match=next(iter(options))):
        Broyden(**options)


def test_large_states_are_refused_before_they_fill_the_memory():
    """A state beyond `largest` elements is an error that says what to take instead, before f is evaluated."""
    problem, calls = counting(TANH)
    with pytest.raises(StateTooLargeError, match=r"broyden keeps a 6×6 matrix .* largest=5 allows; take lbroyden"):
        solve(problem, Broyden(largest=5), TANH.z0)
    assert not calls
    assert solve_map(TANH, Broyden(largest=6)).success
