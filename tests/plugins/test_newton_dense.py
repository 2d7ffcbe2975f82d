from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, Status, solve
from equilib.fixed_points.evaluator import Evaluator
from equilib.numerics.dense import StateTooLargeError, dense_jacobian, solve_dense
from equilib.options import OptionError
from equilib_newton_dense.solver import NewtonDense
from tests.arrays_under_test import lift, lower
from tests.plugins.solver_laws import SolverLaws, counting, solve_map
from tests.problems import BADLY_SCALED, EXPANSIVE, LINEAR, ROTATION, SINGULAR, SIZE, STEEP, TANH, KnownMap


class TestNewtonDense(SolverLaws):
    """The laws of every solver."""

    solver = NewtonDense()
    derivatives = ("jvp",)
    without_fixed_point = (Status.STALLED,)


def scalar(f: Any, slope: Any) -> FixedPointProblem:
    """Return a scalar problem with its derivative."""
    return FixedPointProblem(f, jvp=lambda z, v: slope(z) * v)


@pytest.mark.parametrize("known", [TANH, STEEP, BADLY_SCALED], ids=str)
def test_the_columns_are_products_with_unit_vectors(known: KnownMap, xp: ModuleType):
    """Column j of each sample's Jacobian is J eⱼ, for SIZE products in all."""
    z = lift(xp, known.solution)
    f = Evaluator(known.problem(xp), z)
    J = dense_jacobian(f.linearize(z))
    np.testing.assert_allclose(lower(J), known.jacobians(), rtol=1e-12)
    assert f.counts.njvp == SIZE


@pytest.mark.parametrize("known", [LINEAR, ROTATION, SINGULAR], ids=str)
def test_affine_maps_take_one_step(known: KnownMap):
    """On an affine map Newton's method ends after one step, also where I − J is singular but the equation solvable."""
    solution = solve_map(known, NewtonDense(), rtol=1e-10)
    assert solution.success
    assert set(solution.steps) == {1}


@pytest.mark.parametrize("known", [TANH, EXPANSIVE], ids=str)
def test_convergence_is_quadratic(known: KnownMap):
    """Near the fixed point each residual is at most a constant times the square of the one before."""
    trace = solve_map(known, NewtonDense(), rtol=0.0, atol=1e-14, max_steps=12, norm="two").trace
    before, after = trace[:-1], trace[1:]
    near = (before < 0.1) & (before > 1e-7)
    assert near.any()
    assert np.all(after[near] <= 10 * before[near] ** 2)


def test_the_line_search_saves_newton_from_diverging():
    """On z = z − arctan z Newton's steps overshoot from |z| > 1.4; shortened they converge."""
    problem = scalar(lambda z: z - np.arctan(z), lambda z: 1 - 1 / (1 + z * z))
    z0 = np.array([[10.0], [0.5], [-3.0]])
    assert solve(problem, NewtonDense(), z0, atol=1e-10, rtol=0.0).success
    plain = solve(problem, NewtonDense(globalization="none"), z0, atol=1e-10, rtol=0.0, on_failure="record")
    assert plain.converged.tolist() == [False, True, False]


def test_a_local_minimum_of_the_residual_stalls():
    """On z = z² + z + 1, whose residual z² + 1 has no root, Newton stalls; without a line search it runs on."""
    problem = scalar(lambda z: z * z + z + 1, lambda z: 2 * z + 1)
    z0 = np.array([[0.7], [2.0]])
    solution = solve(problem, NewtonDense(), z0, on_failure="record")
    assert set(solution.status) == {Status.STALLED}
    assert np.all(solution.residual_norm < 1.1)
    assert not solve(problem, NewtonDense("none"), z0, on_failure="record", max_steps=20).success


def test_a_singular_sample_leaves_the_others_alone(rng: np.random.Generator, xp: ModuleType):
    """Systems beside an exactly singular one, one with nan and one that is finished are solved with the same bits."""
    A, b = rng.standard_normal((4, 3, 3)), rng.standard_normal((4, 3))
    others = solve_dense(lift(xp, A), lift(xp, b), np.ones(4, dtype=bool))
    A[1], b[1] = [[1, 1, 0], [1, 1, 0], [0, 0, 1]], 1.0
    A[2, 0, 0] = np.nan
    x = lower(solve_dense(lift(xp, A), lift(xp, b), np.array([True, True, True, False])))
    np.testing.assert_array_equal(x[0], lower(others)[0])
    np.testing.assert_allclose(x[1], [0.5, 0.5, 1.0], rtol=1e-12)
    assert not x[2:].any()


def test_a_nearly_singular_matrix_gives_the_shortest_step():
    """Where what LU finds is all rounding, the answer is the shortest one of least squares."""
    A = np.array([[[1.0, 1.0], [1.0, 1.0 + 2.3e-16]]])
    assert np.linalg.norm(np.linalg.solve(A[0], [2.0, 2.1])) > 1e13
    x = solve_dense(A, np.array([[2.0, 2.1]]), np.ones(1, dtype=bool))
    np.testing.assert_allclose(x, [[1.025, 1.025]], rtol=1e-12)


def test_a_step_costs_one_evaluation_and_a_product_for_each_element():
    """On a contraction k steps take k + 1 evaluations, one of the slope, and k·SIZE products."""
    problem, calls = counting(TANH)
    solution = solve(problem, NewtonDense(), TANH.z0, rtol=1e-10)
    assert calls == {"f": max(solution.steps) + 2, "jvp": SIZE * max(solution.steps)}


@pytest.mark.parametrize("options", [{"backtracks": -1}, {"globalization": "trust"}])
def test_options_out_of_range_are_refused(options):
    """An option that makes no sense is named."""
    with pytest.raises(OptionError, match=next(iter(options))):
        NewtonDense(**options)


def test_large_states_are_refused_before_they_fill_the_memory():
    """A state beyond `largest` elements is an error that says what to take instead, before f is evaluated."""
    problem, calls = counting(TANH)
    with pytest.raises(
        StateTooLargeError, match=r"newton-dense keeps a 6×6 matrix .* largest=5 allows; take newton-gmres"
    ):
        solve(problem, NewtonDense(largest=5), TANH.z0)
    assert not calls
    assert solve_map(TANH, NewtonDense(largest=6)).success
