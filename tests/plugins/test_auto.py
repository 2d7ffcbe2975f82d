from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from equilib import Evaluator, FixedPointProblem, Picard, Solution, Status, solve
from equilib.numerics.gmres import GMRES
from equilib.numerics.low_rank import LowRankInverse
from equilib.options import OptionError
from equilib_auto.recycling import Recycled
from equilib_auto.solver import Auto, AutoState
from equilib_auto.stages import NAMES
from tests.plugins.solver_laws import SolverLaws, counting, solve_map
from tests.problems import EXPANSIVE, LINEAR, NO_FIXED_POINT, STEEP, TANH


class TestAuto(SolverLaws):
    """The laws of every solver."""

    solver = Auto()
    derivatives = ("jvp",)
    without_fixed_point = (Status.STALLED, Status.MAX_STEPS, Status.DIVERGED)


class TestSmallKrylovSpace(SolverLaws):
    """The laws of every solver, with four products J·v in a Newton step at first, and a short memory."""

    solver = Auto(memory=2, linear_solver=GMRES(1))
    derivatives = ("jvp",)
    without_fixed_point = (Status.STALLED, Status.MAX_STEPS, Status.DIVERGED)


def scalar(f: Any, slope: Any, z0: list[float], **options: Any) -> Solution:
    """Solve a scalar problem from several guesses."""
    problem = FixedPointProblem(f, jvp=lambda z, v: slope(z) * v)
    options = {"rtol": 1e-9, "max_steps": 600, "on_failure": "record", "divergence": 1e12, **options}
    return solve(problem, options.pop("solver", Auto()), np.array(z0)[:, None], **options)


# --- which stage finishes a sample


@pytest.mark.parametrize("known", [LINEAR, TANH], ids=str)
def test_maps_that_contract_are_left_to_broyden(known):
    """Where secants are fast enough, no derivative is used, and the state says who finished."""
    solution = solve_map(known, Auto(), rtol=1e-8)
    assert set(solution.state.finished_by) == {"broyden"}
    assert solution.njvp == 0
    assert solution.nfe == max(solution.steps) + 1


def test_samples_where_secants_are_slow_go_over_to_newton():
    """Beside an easy sample one that couples many scales gets Newton's method, and the easy one none of it."""
    slopes = np.stack([np.linspace(0.1, 0.2, 30), np.cos(np.arange(30.0)) * 40])
    problem = FixedPointProblem(lambda z: slopes * z + 1, jvp=lambda z, v: slopes * v)
    solution = solve(problem, Auto(), np.zeros((2, 30)), rtol=1e-9, max_steps=200)
    assert solution.state.finished_by == ("broyden", "newton")
    np.testing.assert_allclose(solution.z, 1 / (1 - slopes), rtol=1e-5)


def test_an_expansive_map_is_solved_beside_a_contraction():
    """A map of slopes down to −31 and one of slope 1/2 in a batch are both solved; neither disturbs the other."""
    steep = np.array([[True], [False]])
    f = lambda z: np.where(steep, 4 - 30 * np.tanh(z) - z, 0.5 * z + 1)  # noqa: E731
    slope = lambda z: np.where(steep, -30 / np.cosh(z) ** 2 - 1, 0.5)  # noqa: E731
    together = scalar(f, slope, [2.0, 0.0])
    assert together.success
    assert together.state.finished_by[1] == "broyden"
    alone = scalar(lambda z: 0.5 * z + 1, lambda z: 0.5 + 0 * z, [0.0])
    np.testing.assert_array_equal(alone.z[0], together.z[1])


def test_a_local_minimum_is_left():
    """Where the residual has a minimum that is no solution, the line search gives up, and another stage finds it."""
    # From 1.2 every descent ends at the minimum √(2/3) of a residual that is positive there; the root is at −1.769.
    solution = scalar(lambda z: z + z**3 - 2 * z + 2, lambda z: 3 * z**2 - 1, [1.2, -1.0])
    assert solution.success
    np.testing.assert_allclose(solution.z, -1.7692923542386314, rtol=1e-7)


def test_where_nothing_helps_the_sample_is_given_up():
    """The equation z = z² + z + 1 has no real solution: no stage finds one, and the status says so."""
    solution = scalar(lambda z: z * z + z + 1, lambda z: 2 * z + 1, [0.7, 2.0], max_steps=5000)
    assert set(solution.status) == {Status.STALLED}
    assert set(solution.state.finished_by) == {"none"}
    assert np.all(solution.residual_norm <= 1.8)


def test_a_finished_sample_stays_with_its_stage():
    """`finished_by` tells the stage at which a sample converged, however long its batch mates take."""
    easy = np.array([[True], [False]])
    solution = scalar(
        lambda z: np.where(easy, 0.1 * z + 1, z * z + z + 1), lambda z: np.where(easy, 0.1, 2 * z + 1), [0.0, 0.7]
    )
    assert solution.converged.tolist() == [True, False]
    assert solution.steps[1] > solution.steps[0] + 100
    assert solution.state.finished_by[0] == "broyden"


# --- nobody depends on batch mates


def test_samples_go_over_at_different_times_without_disturbing_each_other():
    """Samples that come to Newton's method while others are with it find the steps that they find alone."""
    rng = np.random.default_rng(1)
    slopes = np.array([[30.0], [1.5], [0.5], [8.0]]) * rng.standard_normal((4, 12))
    curve = np.array([[0.3], [0.01], [0.1], [0.2]])

    def part(chosen: slice) -> Solution:
        J, c = slopes[chosen], curve[chosen]
        problem = FixedPointProblem(lambda z: 1 + J * z + c * np.cos(z), jvp=lambda z, v: J * v - c * np.sin(z) * v)
        return solve(problem, Auto(), np.zeros_like(J), rtol=1e-9, max_steps=300, on_failure="record")

    together = part(slice(None))
    assert together.success
    assert len(set(together.state.finished_by)) > 1
    for i in range(len(slopes)):
        alone = part(slice(i, i + 1))
        assert alone.steps[0] == together.steps[i]
        assert alone.state.finished_by[0] == together.state.finished_by[i]
        np.testing.assert_allclose(alone.z[0], together.z[i], rtol=1e-8)


def driven(z: np.ndarray, stage: int) -> tuple[Evaluator, AutoState]:
    """Return the tanh cell as the driver hands it to `step`, and the state at z, all samples in a stage."""
    f = Evaluator(TANH.problem(), z, tolerance=np.full(5, 1e-9))
    state = Auto().init(f, z)
    return f, replace(state, progress=replace(state.progress, stage=np.full(5, stage)))


def test_a_newton_step_is_that_of_its_own_place():
    """Where f was linearized elsewhere, by a trial that was taken back, it is linearized again at the iterate."""
    z = TANH.solution + 1e-3
    f, state = driven(z, NAMES.index("newton"))
    progress = replace(state.progress, forcing=np.full(5, 1e-6))
    linearized = np.array([True, True, False, True, True])
    state = replace(state, progress=progress, linear=f.linearize(z + 2.0), linearized=linearized)
    after = Auto().step(f, state)
    assert np.all(np.linalg.norm(after.residual, axis=1) < 1e-2 * np.linalg.norm(state.residual, axis=1))
    assert f.counts.nfe == 4


def test_a_sample_that_begins_a_stage_is_linearized_there():
    """The linearization of a sample's last trial is not used at the guess to which it returns."""
    f, state = driven(TANH.solution + 0.5, NAMES.index("newton"))
    spent = replace(state.progress, trials=np.array([0, 99, 0, 0, 0]))
    away = replace(state.guess, z=state.z + 0.5, norm=np.full(5, 1.0))
    after = Auto().step(f, replace(state, progress=spent, guess=away, least=replace(state.least, norm=np.full(5, 0.5))))
    assert after.finished_by[1] == "flow"
    np.testing.assert_array_equal(after.z[1], away.z[1])
    assert after.linearized.tolist() == [True, False, True, True, True]


# --- what a step costs


def test_a_step_that_is_shortened_is_not_computed_again():
    """While a Newton step is shortened, a trial costs one evaluation and no product."""
    f, state = driven(TANH.solution + 1e-3, NAMES.index("newton"))
    progress = replace(state.progress, rejections=np.ones(5, dtype=int), length=np.full(5, 0.5))
    Auto().step(f, replace(state, progress=progress, direction=state.residual))
    assert (f.counts.nfe, f.counts.njvp) == (2, 0)


def test_a_step_is_one_evaluation():
    """Beyond one evaluation a step there is one more where samples come to a stage of Newton's, at most six times."""
    for known in (STEEP, EXPANSIVE, NO_FIXED_POINT):
        problem, calls = counting(known)
        steps = len(solve(problem, Auto(), known.z0, rtol=1e-9, max_steps=60, on_failure="record").trace) - 1
        assert steps + 1 <= calls["f"] <= steps + 1 + 6 * len(known.z0)


@pytest.mark.parametrize("options", [{"memory": 0}, {"linear_solver": None}, {"forcing": 1.0}])
def test_options_out_of_range_are_refused(options: dict[str, Any]):
    """An option that makes no sense is named."""
    with pytest.raises(OptionError, match=next(iter(options))):
        Auto(**options)


# --- maps on which simpler methods succeed


def hopfield(seed: int, beta: float) -> FixedPointProblem:
    """Return tanh(z W + u) for 32 weak fields u, with W of three patterns."""
    rng = np.random.default_rng(seed)
    Q = rng.choice([-1.0, 1.0], (3, 64))
    W, u = beta * Q.T @ Q / 64, 0.3 * rng.standard_normal((32, 64))

    def slope(z: np.ndarray, v: np.ndarray) -> np.ndarray:
        return (1 - np.tanh(z @ W + u) ** 2) * (v @ W)

    return FixedPointProblem(lambda z: np.tanh(z @ W + u), jvp=slope)


@pytest.mark.parametrize("seed", range(4))
def test_hopfield_maps_that_picard_solves(seed: int):
    """Between basins the residual has minima that are no fixed points; within 100 steps all 32 samples are solved."""
    problem, z0 = hopfield(seed, 1.5), np.zeros((32, 64))
    options = {"rtol": 1e-5, "max_steps": 100, "on_failure": "record"}
    found = solve(problem, Auto(), z0, **options)
    assert found.success
    assert np.all(np.linalg.norm(problem.residual(found.z), axis=1) <= 1.1e-5 * np.linalg.norm(found.z, axis=1))
    assert solve(problem, Picard(), z0, **options).success


@pytest.mark.parametrize("beta", [1.2, 2.0, 3.0, 5.0, 10.0])
def test_hopfield_maps_of_any_temperature(beta: float):
    """From just above the critical point to saturation."""
    assert solve(hopfield(5, beta), Auto(), np.zeros((32, 64)), rtol=1e-5, max_steps=120, on_failure="record").success


def test_where_the_jacobian_is_the_identity_at_the_start():
    """From 0 the map z + 0.01 cos z, at which a Newton step is infinite, is solved, beside an easy sample."""
    easy = np.array([[True], [False]])
    found = scalar(
        lambda z: np.where(easy, 0.5 * z + 1, z + 0.01 * np.cos(z)),
        lambda z: np.where(easy, 0.5, 1 - 0.01 * np.sin(z)),
        [0.0, 0.0],
    )
    assert found.success
    assert abs(np.cos(found.z[1, 0])) < 1e-6 * (1 + abs(found.z[1, 0]))


def test_a_linear_map_that_is_not_normal():
    """Powers of M grow before they vanish: the residual has to rise by orders of magnitude."""
    M = np.diag(np.linspace(-0.8, 0.8, 12)) + 2 * np.eye(12, k=1)
    b = np.random.default_rng(0).standard_normal((4, 12))
    problem = FixedPointProblem(lambda z: z @ M + b, jvp=lambda z, v: v @ M)
    found = solve(problem, Auto(), np.zeros((4, 12)), rtol=1e-9, max_steps=100)
    np.testing.assert_allclose(found.z, b @ np.linalg.inv(np.eye(12) - M), rtol=1e-3, atol=1e-3)
    assert found.nfe + found.njvp < 97


@pytest.mark.parametrize("rtol", [1e-9, 1e-10])
@pytest.mark.parametrize(("size", "coupling"), [(12, 2.0), (12, 1.7), (21, 1.6), (22, 1.7), (25, 1.9), (32, 1.3)])
def test_a_leap_is_judged_by_the_residuals_that_it_leapt_over(size: int, coupling: float, rtol: float):
    """What Picard's iterates reach within the tolerance Newton's one step from the same guess reaches as well."""
    M = np.diag(np.linspace(-0.8, 0.8, size)) + coupling * np.eye(size, k=1)
    b = np.random.default_rng(size).standard_normal((4, size))
    problem = FixedPointProblem(lambda z: z @ M + b, jvp=lambda z, v: v @ M)
    options = {"rtol": rtol, "max_steps": 200, "on_failure": "record"}
    found, plain = (solve(problem, solver, np.zeros((4, size)), **options) for solver in (Auto(), Picard()))
    assert found.success
    assert plain.success
    assert found.nfe + found.njvp < 1.25 * plain.nfe


def test_a_strongly_coupled_map_gets_the_products_that_it_needs():
    """Where I − J is orthogonal, of 200 elements, 80 products show nothing: the Krylov space grows until they do."""
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((200, 200)))[0]
    b = rng.standard_normal((2, 200))
    problem = FixedPointProblem(lambda z: z - z @ Q + b, jvp=lambda z, v: v - v @ Q)
    found = solve(problem, Auto(), np.zeros((2, 200)), rtol=1e-6, max_steps=50)
    np.testing.assert_allclose(found.z, b @ Q.T, rtol=1e-4, atol=1e-4)


def test_a_first_residual_that_is_tiny():
    """From 0 the residual of tanh(2z + 1e-5) is 1e-5; the way to 0.9575 is a growth by five orders of magnitude."""
    found = scalar(lambda z: np.tanh(2 * z + 1e-5), lambda z: 2 / np.cosh(2 * z + 1e-5) ** 2, [0.0], rtol=1e-6)
    assert found.success
    np.testing.assert_allclose(np.tanh(2 * found.z + 1e-5), found.z, atol=1e-5)


def test_a_residual_that_is_bounded():
    """Far from the fixed point of z − 0.1 tanh(z − 1) all steps are equally long; the flow finds it nevertheless."""
    problem = FixedPointProblem(
        lambda z: z - 0.1 * np.tanh(z - 1), jvp=lambda z, v: (1 - 0.1 / np.cosh(z - 1) ** 2) * v
    )
    z0 = np.array([[20.0, -3.0], [8.0, 6.0], [100.0, 50.0]])
    found = solve(problem, Auto(), z0, rtol=0.0, atol=1e-6, max_steps=300)
    np.testing.assert_allclose(found.z, 1.0, atol=1e-4)


def test_a_map_that_saturates_costs_little_more_than_picard():
    """Where secants of a steep map lead nowhere and its iterates settle at once, auto follows them."""
    problem, z0 = hopfield(5, 10.0), np.zeros((32, 64))
    options = {"rtol": 1e-5, "max_steps": 100, "on_failure": "record"}
    found, plain = solve(problem, Auto(), z0, **options), solve(problem, Picard(), z0, **options)
    assert found.success
    assert np.exp(np.mean(np.log(found.steps / plain.steps))) <= 1.75


# --- what Newton's products taught


def test_the_recycled_inverse_is_exact_on_the_vectors_it_was_taught():
    """After updates by orthonormal v with A v, H A v = v for each; a sample that forgets has −I, the other its H."""
    rng = np.random.default_rng(0)
    A = np.eye(6) + 0.3 * rng.standard_normal((2, 6, 6))
    vectors = np.linalg.qr(rng.standard_normal((2, 6, 6)))[0][:, :, :3]
    both = np.array([True, True])
    learned = Recycled(LowRankInverse(10))
    for k in range(3):
        learned = learned.taught(both, vectors[:, :, k], (A @ vectors[:, :, k, None])[:, :, 0])
    for k in range(3):
        image = learned.inverse.apply((A @ vectors[:, :, k, None])[:, :, 0])
        np.testing.assert_allclose(image, vectors[:, :, k], atol=1e-12)
    x = rng.standard_normal((2, 6))
    forgotten = learned.forgotten(np.array([True, False]))
    np.testing.assert_array_equal(forgotten.inverse.apply(x)[0], -x[0])
    np.testing.assert_array_equal(forgotten.inverse.apply(x)[1], learned.inverse.apply(x)[1])
    assert not learned.forgotten(both).owners
