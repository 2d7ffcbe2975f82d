from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, Solution, Status, solve
from equilib.fixed_points.evaluator import Evaluator
from equilib.options import OptionError
from equilib_auto.progress import GIVEN_UP, MIXING, NEWTON, PLAIN, Limits, Progress
from equilib_auto.solver import Auto, AutoState
from tests.plugins.solver_laws import SolverLaws, counting, solve_map
from tests.problems import EXPANSIVE, LINEAR, NO_FIXED_POINT, STEEP, TANH


class TestByLU(SolverLaws):
    """The laws of every solver, with Newton steps by LU."""

    solver = Auto()
    derivatives = ("jvp",)
    without_fixed_point = (Status.STALLED, Status.MAX_STEPS)


class TestByGMRES(SolverLaws):
    """The laws of every solver, with Newton steps by GMRES."""

    solver = Auto(dense=0)
    derivatives = ("jvp",)
    without_fixed_point = (Status.STALLED, Status.MAX_STEPS)


class TestImpatient(SolverLaws):
    """The laws of every solver, with Newton's method after two steps."""

    solver = Auto(probe=2, patience=1)
    derivatives = ("jvp",)
    without_fixed_point = (Status.STALLED, Status.MAX_STEPS)


each_linear_solver = pytest.mark.parametrize("dense", [0, 64], ids=["GMRES", "LU"])


def scalar(f: Any, slope: Any, z0: list[float], **options: Any) -> Solution:
    """Solve a scalar problem from several guesses."""
    problem = FixedPointProblem(f, jvp=lambda z, v: slope(z) * v)
    options = {"rtol": 1e-9, "max_steps": 300, "on_failure": "record", "divergence": 1e12, **options}
    return solve(problem, options.pop("solver", Auto()), np.array(z0)[:, None], **options)


@pytest.mark.parametrize("known", [LINEAR, TANH], ids=str)
def test_maps_that_contract_are_left_to_mixing(known):
    """Where mixing is fast enough, no derivative is used, and the state says who finished."""
    solution = solve_map(known, Auto(), rtol=1e-8)
    assert set(solution.state.finished_by) == {"anderson"}
    assert solution.njvp == 0
    assert solution.nfe == max(solution.steps) + 1


@each_linear_solver
def test_samples_where_mixing_is_slow_go_over_to_newton(dense: int):
    """With a short memory, and slopes from 0.1 to 0.999, each sample gets the method that suits it."""
    slopes = np.array([[0.1, 0.2, 0.3], [0.999, 0.99, -0.9], [0.4, 0.5, 0.6], [-0.9, 0.995, 0.98]])
    problem = FixedPointProblem(lambda z: slopes * z + 1, jvp=lambda z, v: slopes * v)
    solution = solve(problem, Auto(memory=1, dense=dense), np.zeros((4, 3)), rtol=1e-9)
    assert solution.state.finished_by == ("anderson", "newton", "anderson", "newton")
    np.testing.assert_allclose(solution.z, 1 / (1 - slopes), rtol=1e-5)


@each_linear_solver
def test_an_expansive_map_is_solved_beside_a_contraction(dense: int):
    """A map of slopes down to −31 and one of slope 1/2 in a batch are both solved; neither disturbs the other."""
    steep = np.array([[True], [False]])
    f = lambda z: np.where(steep, 4 - 30 * np.tanh(z) - z, 0.5 * z + 1)  # noqa: E731
    slope = lambda z: np.where(steep, -30 / np.cosh(z) ** 2 - 1, 0.5)  # noqa: E731
    together = scalar(f, slope, [2.0, 0.0], solver=Auto(memory=1, dense=dense))
    assert together.success
    assert together.state.finished_by[1] == "anderson"
    alone = scalar(lambda z: 0.5 * z + 1, lambda z: 0.5 + 0 * z, [0.0], solver=Auto(memory=1, dense=dense))
    np.testing.assert_array_equal(alone.z[0], together.z[1])


@each_linear_solver
def test_a_local_minimum_is_left_by_plain_newton_steps(dense: int):
    """Where the residual has a minimum that is no solution, the line search gives up and plain steps jump out of it."""
    residual = lambda z: z**3 - 2 * z + 2  # noqa: E731
    slope = lambda z: 3 * z**2 - 2  # noqa: E731
    # From 1.2 every descent ends at the minimum √(2/3) of a residual that is positive there; the root is at −1.769.
    solution = scalar(
        lambda z: z + residual(z), lambda z: 1 + slope(z), [1.2, -1.0], solver=Auto(dense=dense, probe=1, patience=1)
    )
    assert solution.success
    np.testing.assert_allclose(solution.z, -1.7692923542386314, rtol=1e-7)


def test_where_nothing_helps_the_sample_is_given_up():
    """The equation z = z² + z + 1 has no real solution: all three methods fail, and the status says so."""
    solution = scalar(lambda z: z * z + z + 1, lambda z: 2 * z + 1, [0.7, 2.0], solver=Auto(plain_steps=10))
    assert set(solution.status) == {Status.STALLED}
    assert set(solution.state.finished_by) == {"none"}
    assert np.all(solution.residual_norm <= 1.8)


def test_a_place_no_better_than_the_guess_is_not_kept():
    """Newton's method begins at the initial guess unless mixing has reduced the residual to a tenth."""
    zeros = np.zeros(3, dtype=int)
    before = replace(Progress.at(np.array([1.0, 1.0, 1.0])), method=zeros + MIXING)
    after = replace(before, method=np.array([NEWTON, NEWTON, MIXING]), norm=np.array([0.5, 0.05, 5.0]))
    assert after.returns(before, np.ones(3)).tolist() == [True, False, False]
    plain = replace(after, method=np.array([PLAIN, PLAIN, MIXING]))
    assert plain.returns(after, np.ones(3)).tolist() == [True, True, False]


def test_each_decision_by_its_rule():
    """Mixing is left when slow or worse twice, the line search when exhausted, plain steps when spent or not finite."""
    limits = Limits(probe=2, patience=10, backtracks=3, plain_steps=5)
    method = np.array([MIXING, MIXING, MIXING, MIXING, NEWTON, NEWTON, PLAIN, PLAIN, PLAIN])
    ones = np.ones(len(method))
    before = replace(
        Progress.at(ones),
        method=method,
        count=np.array([1, 1, 2, 2, 1, 1, 1, 4, 1]),
        rejections=np.array([0, 0, 1, 0, 2, 3, 0, 0, 0]),
    )
    norm = np.array([0.1, 0.9, 5.0, np.nan, 5.0, 5.0, 5.0, 5.0, np.nan])
    kept = before.keeps(norm, 0 * ones)
    assert kept.tolist() == [True, True, False, False, False, False, True, True, False]
    after = before.advanced(norm, kept, 1e-4 * ones, 0 * ones, limits)
    expected = [MIXING, NEWTON, NEWTON, NEWTON, NEWTON, PLAIN, PLAIN, GIVEN_UP, GIVEN_UP]
    assert after.method.tolist() == expected
    assert after.length[4] < 1
    assert after.length[[0, 1, 2, 5, 6]].tolist() == [1.0] * 5
    assert after.norm[:3].tolist() == [0.1, 0.9, 1.0]
    assert after.count.tolist() == [2, 0, 0, 0, 2, 0, 2, 0, 0]


def test_a_finished_sample_stays_with_its_method():
    """`finished_by` tells the method at which a sample converged, however long its batch mates take."""
    easy = np.array([[True], [False]])
    # At the triple root 0 of z³ every method is linear: Newton's takes a third off z at each step, on any CPU.
    solution = scalar(
        lambda z: np.where(easy, 0.1 * z + 1, z - z**3),
        lambda z: np.where(easy, 0.1, 1 - 3 * z**2),
        [0.0, 0.5],
        solver=Auto(patience=5),
        atol=1e-9,
    )
    assert solution.success
    assert solution.steps[1] > solution.steps[0] + 8  # so contractions were measured after its end
    assert solution.state.finished_by == ("anderson", "newton")


@each_linear_solver
def test_samples_go_over_at_different_times_without_disturbing_each_other(dense: int):
    """Samples that come to Newton's method while others are with it find the steps that they find alone."""
    slopes = np.array([[0.9999, 0.99, -0.9], [0.95, 0.9, 0.8], [0.999, -0.99, 0.9], [0.3, 0.2, 0.1]])
    curve = np.array([[0.3], [0.01], [0.1], [0.2]])

    def part(chosen: slice) -> Solution:
        J, c = slopes[chosen], curve[chosen]
        problem = FixedPointProblem(lambda z: J * z + c * np.cos(z), jvp=lambda z, v: J * v - c * np.sin(z) * v)
        solver = Auto(memory=1, patience=9, dense=dense)
        return solve(problem, solver, np.zeros_like(J), rtol=1e-9, max_steps=300, on_failure="record")

    together = part(slice(None))
    assert len(set(together.state.finished_by)) > 1
    for i in range(len(slopes)):
        alone = part(slice(i, i + 1))
        assert alone.steps[0] == together.steps[i]
        assert alone.state.finished_by[0] == together.state.finished_by[i]
        np.testing.assert_allclose(alone.z[0], together.z[i], rtol=1e-9)


def driven(z: np.ndarray) -> tuple[Evaluator, AutoState]:
    """Return the tanh cell as the driver hands it to `step`, and the state at z."""
    f = Evaluator(TANH.problem(), z, tolerance=np.full(5, 1e-9))
    return f, Auto(dense=64).init(f, z)


def test_a_newton_step_is_that_of_its_own_place():
    """Where f was linearized elsewhere, by a trial that was taken back, it is linearized again at the iterate."""
    z = TANH.solution + 1e-3
    f, state = driven(z)
    state = replace(
        state,
        progress=replace(state.progress, method=np.full(5, NEWTON)),
        linear=f.linearize(z + 2.0),
        linearized=np.array([True, True, False, True, True]),
    )
    after = Auto().step(f, state)
    before = np.linalg.norm(state.residual, axis=1)
    assert np.all(np.linalg.norm(after.residual, axis=1) < 1e-2 * before)
    assert f.counts.nfe == 4


def test_a_sample_that_begins_again_is_linearized_again():
    """The linearization of a sample's last trial is not used at the guess to which it returns."""
    f, state = driven(TANH.solution + 1e-3)
    method = np.array([NEWTON, MIXING, NEWTON, NEWTON, NEWTON])
    guess = (state.z + 0.5, state.residual, np.full(5, 1e-3))
    count, best = np.full(5, 4), np.where(method == MIXING, 1e9, state.progress.best)
    progress = replace(state.progress, method=method, count=count, best=best, reference=np.full(5, 1e-9))
    after = Auto().step(f, replace(state, progress=progress, guess=guess))
    assert after.finished_by[1] == "newton"
    np.testing.assert_array_equal(after.z[1], guess[0][1])
    assert after.linearized.tolist() == [True, False, True, True, True]


def test_a_step_that_is_shortened_is_not_computed_again():
    """While a Newton step is shortened, a trial costs one evaluation and no product."""
    solution = scalar(
        lambda z: z - np.arctan(z), lambda z: z * z / (1 + z * z), [20.0], solver=Auto(probe=1, patience=1, memory=1)
    )
    assert solution.success
    assert solution.njvp < max(solution.steps) - 2
    assert solution.nfe <= max(solution.steps) + 2


def test_a_step_is_one_evaluation():
    """Beyond one evaluation a step there is one more where samples go over to Newton's method, at most twice each."""
    for known in (STEEP, EXPANSIVE, NO_FIXED_POINT):
        problem, calls = counting(known)
        steps = len(solve(problem, Auto(), known.z0, rtol=1e-9, max_steps=60, on_failure="record").trace) - 1
        assert steps + 1 <= calls["f"] <= steps + 1 + 2 * len(known.z0)


@pytest.mark.parametrize(
    "options",
    [
        {"memory": 0},
        {"probe": 0},
        {"patience": 0},
        {"dense": -1},
        {"linear_solver": None},
        {"plain_steps": -1},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any]):
    """An option that makes no sense is named."""
    with pytest.raises(OptionError, match=next(iter(options))):
        Auto(**options)
