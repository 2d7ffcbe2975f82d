from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from equilib import Status, solve
from equilib.numerics.secants import Secants
from equilib.options import OptionError
from equilib_anderson.solver import Anderson
from tests.plugins.solver_laws import SolverLaws, solve_map, trials
from tests.problems import EXPANSIVE, LINEAR, ROTATION, SIZE, TANH


class TestAnderson(SolverLaws):
    """The laws of every solver."""

    solver = Anderson()


class TestShortMemory(SolverLaws):
    """The laws of every solver, with one pair and half of the residual."""

    solver = Anderson(memory=1, mixing=0.5)


def test_the_first_step_is_picard():
    """Without a memory the new iterate is z + β (f(z) − z)."""
    for mixing in (1.0, 0.25):
        solution = solve_map(TANH, Anderson(mixing=mixing), max_steps=1, rtol=0.0)
        expected = TANH.z0 + mixing * (TANH.f(TANH.z0, TANH.bias) - TANH.z0)
        np.testing.assert_allclose(solution.state.z, expected, rtol=1e-14)


@pytest.mark.parametrize("known", [LINEAR, ROTATION], ids=str)
def test_on_linear_maps_it_is_gmres(known):
    """Iterate k + 1 is f of GMRES's iterate k, of least residual over the Krylov space (Walker & Ni 2011, thm 2.2)."""
    solver = Anderson(memory=SIZE, regularization=0.0, growth=1e9)
    problem = known.problem()
    J, state = known.jacobians(), solver.init(problem, known.z0)
    first = state.residual
    for k in range(1, 5):
        state = solver.step(problem, state)
        for i in range(len(known.z0)):
            A = np.eye(SIZE) - J[i]
            powers = [first[i]]
            for _ in range(k - 2):
                powers.append(A @ powers[-1])
            basis = np.stack(powers, axis=1) if k > 1 else np.zeros((SIZE, 0))
            best = known.z0[i] + basis @ np.linalg.lstsq(A @ basis, first[i], rcond=None)[0]
            expected = J[i] @ best + known.bias[i]
            np.testing.assert_allclose(state.z[i], expected, rtol=1e-6, atol=1e-8)


def test_a_linear_map_is_solved_in_as_many_steps_as_it_has_dimensions():
    """With a memory of the size of the state a linear system takes size + 2 evaluations at most, one for the slope."""
    solution = solve_map(ROTATION, Anderson(memory=SIZE), rtol=1e-8)
    assert solution.success
    assert solution.nfe <= SIZE + 3


def test_the_weights_do_not_depend_on_the_units():
    """The ridge is relative: residuals in other units give the same weights."""
    rng = np.random.default_rng(3)
    changes = rng.standard_normal((2, 3, 4))
    gram = np.einsum("bid,bjd->bij", changes, changes)
    overlap = np.einsum("bid,bd->bi", changes, rng.standard_normal((2, 4)))
    usable = np.ones((2, 3), dtype=bool)
    weights = Secants((), (), gram, overlap, usable).weights(1e-3)
    for unit in (1e-12, 1e12):
        scaled = Secants((), (), unit * gram, unit * overlap, usable).weights(1e-3)
        np.testing.assert_allclose(scaled, weights, rtol=1e-12)
    exact = np.linalg.solve(gram, overlap[:, :, None])[:, :, 0]
    np.testing.assert_allclose(Secants((), (), gram, overlap, usable).weights(0.0), exact, rtol=1e-9)


def test_equal_pairs_are_no_problem():
    """A Gram matrix of rank one, or zero, or with nan gives finite weights."""
    gram = np.stack([np.ones((3, 3)), np.zeros((3, 3)), np.full((3, 3), np.nan)])
    secants = Secants((), (), gram, np.ones((3, 3)), np.ones((3, 3), dtype=bool))
    weights = secants.weights(1e-10)
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(np.sum(weights[0]), 1.0, rtol=1e-6)
    assert not weights[1:].any()


def test_a_step_that_makes_it_worse_is_taken_back():
    """Accepted residuals never exceed `growth` times the best before them."""
    solver = Anderson(growth=1.5)
    trace = solve_map(EXPANSIVE, solver, rtol=1e-8, norm="two").trace
    best = np.minimum.accumulate(trace, axis=0)
    assert np.all(trace[1:] <= 1.5 * best[:-1] + 1e-12)
    assert solve_map(EXPANSIVE, solver, rtol=1e-8).success


def test_a_sample_without_any_better_place_stalls():
    """Where every step makes it worse, the sample is given up after `rejections` of them."""
    solution = solve(
        lambda z: z + 1e-3 + 50 * np.abs(z),
        Anderson(growth=2.0, rejections=3),
        np.zeros((2, 1)),
        rtol=1e-6,
        on_failure="record",
    )
    assert set(solution.status) == {Status.STALLED}


def test_memory_grows_lazily_and_is_bounded():
    """After k steps there are min(k, memory) pairs."""
    for steps, pairs in [(0, 0), (1, 1), (3, 3), (9, 4)]:
        solution = solve_map(ROTATION, Anderson(memory=4), max_steps=steps, rtol=0.0, atol=0.0)
        assert len(solution.state.secants.images) == pairs


@pytest.mark.parametrize("options", [{"memory": 0}, {"mixing": 0.0}, {"mixing": 1.5}, {"growth": 0.5}])
def test_options_out_of_range_are_refused(options):
    """An option that makes no sense is named."""
    with pytest.raises(OptionError, match=next(iter(options))):
        Anderson(**options)


def test_a_step_by_its_formula():
    """z + β r − Σ γᵢ (Δzᵢ + β Δrᵢ) with γ from least squares on all pairs, with β ≠ 1."""
    solver = Anderson(mixing=0.4, regularization=0.0, growth=1e9)
    iterates = [solve_map(TANH, solver, max_steps=k, rtol=0.0).state.z for k in range(5)]
    residuals = [TANH.f(z, TANH.bias) - z for z in iterates]
    for i in range(len(TANH.z0)):
        dz = np.stack([after[i] - before[i] for before, after in pairwise(iterates[:4])], axis=1)
        dr = np.stack([after[i] - before[i] for before, after in pairwise(residuals[:4])], axis=1)
        gamma = np.linalg.lstsq(dr, residuals[3][i], rcond=None)[0]
        expected = iterates[3][i] + 0.4 * residuals[3][i] - (dz + 0.4 * dr) @ gamma
        np.testing.assert_allclose(iterates[4][i], expected, rtol=1e-6, atol=1e-9)


def test_a_pair_that_was_taken_back_corrects_the_next_step():
    """On a scalar equation the step after one that was taken back is the secant method's, from the old place."""
    f = lambda z: 3 - 5 * z + 0.1 * z**2  # noqa: E731
    first, second, third = trials(Anderson(), f, 0.0, max_steps=2)
    r = [f(z) - z for z in (first, second)]
    assert abs(r[1]) > 2 * abs(r[0])
    assert third == pytest.approx(first - r[0] * (second - first) / (r[1] - r[0]), rel=1e-8)


def test_twice_in_a_row_the_pairs_are_forgotten():
    """From the second step taken back on, the sample tries z + r/2, z + r/4, ... from its old place."""
    seen = trials(Anderson(growth=2.0, rejections=5), lambda z: z + 1e-3 + np.where(z == 0, 0.0, 9.0), 0.0)
    np.testing.assert_allclose(seen[3:], 1e-3 * 0.5 ** np.arange(1, 5), rtol=1e-12)


@pytest.mark.parametrize(("restart", "place"), [("least", 0.0 + 1.0 / 2), ("last", 1.0 + 1.5 / 2)])
def test_a_sample_starts_again_where_it_is_told(restart: str, place: float):
    """From the place of its least residual, which is 1 at 0, or from the last one, where it is 1.5 at 1."""
    f = lambda z: z + np.where(z == 0, 1.0, np.where(z == 1, 1.5, 9.0))  # noqa: E731
    assert trials(Anderson(growth=2.0, restart=restart), f, 0.0)[4] == place


def test_after_a_trial_that_is_not_finite_the_next_is_half_as_long():
    """Nothing was learned from it, so the same step is not tried again."""
    seen = trials(Anderson(rejections=4), lambda z: np.where(z == 0, 1.0, np.nan), 0.0)
    assert seen == [0.0, 1.0, 0.5, 0.25, 0.125]
