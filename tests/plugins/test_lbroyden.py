from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from equilib import SolveOptions, Status, solve
from equilib.numerics.low_rank import LowRankInverse
from equilib.options import OptionError
from equilib_broyden.full import Broyden
from equilib_broyden.limited import LimitedMemoryBroyden
from tests.plugins.secant_updates import taught
from tests.plugins.solver_laws import SolverLaws, solve_map, trials
from tests.problems import EXPANSIVE, ROTATION, TANH


class TestLimitedMemoryBroyden(SolverLaws):
    """The laws of every solver."""

    solver = LimitedMemoryBroyden()


class TestShortMemory(SolverLaws):
    """The laws of every solver, remembering three steps, and more careful: what wanders is not the same twice."""

    solver = LimitedMemoryBroyden(memory=3, growth=5.0)


def test_the_first_step_is_picard():
    """From H = −I the first iterate is f(z₀)."""
    solution = solve_map(TANH, LimitedMemoryBroyden(), max_steps=1, rtol=0.0)
    np.testing.assert_array_equal(solution.state.z, TANH.z0 + (TANH.f(TANH.z0, TANH.bias) - TANH.z0))


@pytest.mark.parametrize("memory", [1, 2, 10])
def test_the_newest_secant_equation_holds(memory: int):
    """After each update H Δr = Δz for the newest pair, also when the oldest has been dropped."""
    rng = np.random.default_rng(4)
    inverse = LowRankInverse(memory)
    for count in range(1, 6):
        s, y = rng.standard_normal((2, 3, 2, 4))
        inverse = taught(inverse, s, y)
        np.testing.assert_allclose(inverse.apply(y), s, rtol=1e-9, atol=1e-12)
        assert len(inverse.left) == len(inverse.right) == min(count, memory)


def test_the_solver_satisfies_its_secant_equations():
    """In a solve, H maps the last change of the residual to the last change of z."""
    states = [solve_map(TANH, LimitedMemoryBroyden(), max_steps=steps, rtol=0.0, atol=0.0).state for steps in range(5)]
    for before, after in pairwise(states):
        change = after.inverse.apply(after.residual - before.residual)
        np.testing.assert_allclose(change, after.z - before.z, atol=1e-12)


def test_transposed_products_belong_to_the_same_matrix():
    """⟨H x, w⟩ = ⟨x, Hᵀ w⟩ for each sample."""
    rng = np.random.default_rng(5)
    inverse = LowRankInverse(10)
    for _ in range(3):
        inverse = taught(inverse, *rng.standard_normal((2, 2, 5)))
    x, w = rng.standard_normal((2, 2, 5))
    np.testing.assert_allclose(np.vecdot(inverse.apply(x), w), np.vecdot(x, inverse.transposed().apply(w)))


@pytest.mark.parametrize("known", [TANH, EXPANSIVE, ROTATION], ids=str)
def test_with_enough_memory_it_is_the_full_method(known):
    """With more memory than steps the iterates are those of the method with the full inverse."""
    limited, full = (
        solve_map(known, solver, max_steps=9) for solver in (LimitedMemoryBroyden(), Broyden(jacobian="identity"))
    )
    assert limited.nfe == full.nfe
    np.testing.assert_allclose(limited.z, full.z, rtol=1e-7, atol=1e-9)


def test_one_dimension_is_the_secant_method():
    """On a scalar equation the iterates are those of the secant method, also from a step that was taken back."""
    f = lambda z: 3 - 5 * z + 0.1 * z**2  # noqa: E731
    r = lambda z: f(z) - z  # noqa: E731
    first, second = 0.0, f(0.0)
    third = first - r(first) * (second - first) / (r(second) - r(first))
    solution = solve(f, LimitedMemoryBroyden(), np.zeros((1, 1)), max_steps=2, rtol=0.0, on_failure="record")
    np.testing.assert_allclose(solution.state.z, third, rtol=1e-12)


def test_no_memory_is_allocated_ahead():
    """After k steps the inverse holds k outer products, whatever `memory` is."""
    solution = solve_map(ROTATION, LimitedMemoryBroyden(memory=1000), max_steps=4, rtol=0.0, atol=0.0)
    assert len(solution.state.inverse.left) == 4


def test_by_default_a_solve_forgets_nothing():
    """The memory holds as many steps as a solve takes at most: what is forgotten costs evaluations."""
    assert LimitedMemoryBroyden().memory >= SolveOptions().max_steps


def test_a_residual_that_grows_threefold_is_no_reason_to_go_back():
    """Quasi-Newton steps are not monotone: what is taken back costs the evaluation."""
    seen = trials(LimitedMemoryBroyden(), lambda z: np.where(z == 0, 1.0, z + 3.0), 0.0, max_steps=2)
    # From z = 1 with r = 3: the secant through (0, 1) and (1, 3), not again from 0.
    assert seen == pytest.approx([0.0, 1.0, -0.5])


def test_a_change_that_teaches_nothing_is_left_out():
    """Where the residual did not change, or is not finite, the inverse of that sample stays as it was."""
    s, y = np.ones((3, 4)), np.zeros((3, 4))
    y[1] = np.nan
    y[2] = -2.0
    inverse = taught(LowRankInverse(10), s, y)
    x = np.arange(4.0) * np.ones((3, 1))
    np.testing.assert_array_equal(inverse.apply(x)[:2], -x[:2])
    np.testing.assert_allclose(inverse.apply(y)[2], s[2])


def test_a_sample_without_any_better_place_stalls():
    """Where every step makes it worse, the sample is given up after `rejections` of them."""
    solver = LimitedMemoryBroyden(growth=5.0, rejections=3)
    f = lambda z: z + 1e-3 + np.where(z == 0, 0.0, 9.0)  # noqa: E731
    solution = solve(f, solver, np.zeros((2, 1)), rtol=1e-6, on_failure="record")
    assert set(solution.status) == {Status.STALLED}
    assert solution.steps.tolist() == [4, 4]


@pytest.mark.parametrize("options", [{"memory": 0}, {"growth": 0.5}, {"rejections": 0}])
def test_options_out_of_range_are_refused(options):
    """An option that makes no sense is named."""
    with pytest.raises(OptionError, match=next(iter(options))):
        LimitedMemoryBroyden(**options)


@pytest.mark.parametrize(
    "solver", [LimitedMemoryBroyden(growth=5.0, rejections=5), Broyden("identity", rejections=5)], ids=str
)
def test_twice_in_a_row_the_inverse_is_forgotten(solver):
    """From the second step taken back on, the sample tries z + r/2, z + r/4, ... from its old place."""
    seen = trials(solver, lambda z: z + 1e-3 + np.where(z == 0, 0.0, 9.0), 0.0)
    np.testing.assert_allclose(seen[3:], 1e-3 * 0.5 ** np.arange(1, 5), rtol=1e-12)


@pytest.mark.parametrize("solver", [LimitedMemoryBroyden(rejections=4), Broyden("identity", rejections=4)], ids=str)
def test_after_a_trial_that_is_not_finite_the_next_is_half_as_long(solver):
    """Nothing was learned from it, so the same step is not tried again."""
    assert trials(solver, lambda z: np.where(z == 0, 1.0, np.nan), 0.0) == [0.0, 1.0, 0.5, 0.25, 0.125]
