from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from equilib import (
    FixedPointProblem,
    Picard,
    Solver,
    State,
    Status,
    solve,
)
from equilib_linear_solvers.library import LibraryGMRES
from equilib_newton_gmres.solver import NewtonGMRES
from tests.problems import (
    CONTRACTIONS,
    EXPANSIVE,
    NO_FIXED_POINT,
    ROTATION,
    SIZE,
    TANH,
    KnownMap,
)
from tests.solving import (
    NORMS,
    SOLVERS,
    every_norm,
    every_solver,
    play,
    solve_map,
)

# --- when a sample has converged


@pytest.mark.parametrize("known", CONTRACTIONS, ids=str)
@every_solver
@every_norm
def test_a_converged_sample_satisfies_the_tolerance(known: KnownMap, solver: Solver, norm: str):
    """‖f(z) − z‖ ≤ atol + rtol·‖z‖ holds, in the chosen norm, for what is returned, and the fixed point is near."""
    rtol, atol = 1e-7, 1e-9
    solution = solve_map(known, solver, norm=norm, rtol=rtol, atol=atol)
    assert solution.success
    residual = known.f(solution.z, known.bias) - solution.z
    np.testing.assert_array_equal(solution.residual, residual)
    np.testing.assert_allclose(solution.residual_norm, NORMS[norm](residual), rtol=1e-12)
    assert np.all(NORMS[norm](residual) <= atol + rtol * NORMS[norm](solution.z))
    inverse = np.linalg.inv(np.eye(SIZE) - known.jacobians())
    reach = 2 * np.einsum("bij,bj->bi", np.abs(inverse), np.abs(residual)) + 1e-12
    assert np.all(np.abs(solution.z - known.solution) <= reach)


@every_norm
def test_each_sample_ends_at_its_own_first_step_within_the_tolerance(norm: str):
    """Statuses, steps and iterates are those of Picard loops written by hand, one for each sample."""
    rtol, atol = 1e-4, 1e-6
    scaled = replace(TANH, z0=TANH.solution + 10.0 ** -np.arange(5.0)[:, None])
    solution = solve_map(scaled, Picard(), norm=norm, rtol=rtol, atol=atol)
    z, steps = scaled.z0.copy(), np.zeros(5, dtype=int)
    while True:
        image = TANH.f(z, TANH.bias)
        going = NORMS[norm](image - z) > atol + rtol * NORMS[norm](z)
        if not going.any():
            break
        z[going], steps = image[going], steps + going
    assert len(set(steps)) > 2, "the samples should need different numbers of steps"
    np.testing.assert_array_equal(solution.steps, steps)
    np.testing.assert_allclose(solution.z, z, rtol=1e-14)


def test_a_good_initial_guess_needs_no_step():
    """A sample that starts at its fixed point is returned as it is, for an evaluation, and one for the slope."""
    known = replace(TANH, z0=TANH.solution)
    for solver in SOLVERS:
        solution = solve_map(known, solver)
        assert solution.success
        assert solution.nfe == 2
        assert not solution.steps.any()
        np.testing.assert_array_equal(solution.z, TANH.solution)


def test_finished_samples_never_change_again():
    """What is returned for a converged sample is, bit for bit, the iterate at which it converged."""
    solution = play([1.0, 5e-4, 7.0, np.nan, 1e-9], [1.0, 0.9, 0.8, 0.7, 0.6])
    assert solution.status == (Status.CONVERGED, Status.MAX_STEPS)
    assert solution.z[0, 0] == 5e-4
    assert solution.residual[0, 0] == -5e-4
    assert solution.residual_norm[0] == 5e-4
    assert solution.steps.tolist() == [1, 4]


def test_a_sample_that_diverged_does_not_recover():
    """A sample keeps the status at which it ended, whatever the solver does afterwards."""
    solution = play([1.0, 2e16, 1e-9], [1.0, np.inf, 1e-9], [1.0, 0.5, 1e-9])
    assert solution.status == (Status.DIVERGED, Status.NONFINITE, Status.CONVERGED)
    assert solution.z[:, 0].tolist() == [1.0, 1.0, 1e-9]


@pytest.mark.parametrize("later", [2.0, np.nan, np.inf])
def test_the_best_finite_iterate_is_returned(later: float):
    """Where later iterates are worse or not finite, the one of the smallest residual is the answer."""
    solution = play([1.0, 0.25, 0.5, later])
    assert solution.z[0, 0] == 0.25
    assert solution.residual[0, 0] == -0.25
    assert solution.residual_norm[0] == 0.25


def test_the_solve_ends_with_its_last_sample():
    """No evaluation is spent once every sample is finished."""
    solution = play([1.0, 1e-9, 5.0, 5.0], [1.0, 0.5, 1e-9, 5.0])
    assert solution.nfe == 3 + 2  # each of two leaps asks for a slope
    assert len(solution.trace) == 3


# --- how a sample ends


@pytest.mark.parametrize(
    ("known", "solver", "status"),
    [
        (TANH, Picard(), Status.CONVERGED),
        (TANH, NewtonGMRES(), Status.CONVERGED),
        (EXPANSIVE, NewtonGMRES(), Status.CONVERGED),
        (EXPANSIVE, Picard(), Status.DIVERGED),
        (ROTATION, Picard(), Status.MAX_STEPS),
        (NO_FIXED_POINT, Picard(), Status.MAX_STEPS),
        (NO_FIXED_POINT, NewtonGMRES(), Status.STALLED),
        (NO_FIXED_POINT, NewtonGMRES(LibraryGMRES()), Status.STALLED),
        (TANH.poisoned(0).rows([0]), Picard(), Status.NONFINITE),
        (TANH.poisoned(0).rows([0]), NewtonGMRES(), Status.NONFINITE),
    ],
    ids=str,
)
def test_statuses(known: KnownMap, solver: Solver, status: Status):
    """Each status is produced by a map that deserves it, for every sample."""
    assert set(solve_map(known, solver, max_steps=30, rtol=1e-6).status) == {status}


def test_a_solver_that_gives_up_has_stalled():
    """A sample that the solver marks as failed ends there, unless it has converged."""
    solution = play([1.0, 0.9, 0.1], [1.0, 1e-9, 1.0], [1.0, 0.9, 0.1], failing_step=1, failing=(True, True, False))
    assert solution.status == (Status.STALLED, Status.CONVERGED, Status.MAX_STEPS)
    assert solution.steps.tolist() == [1, 1, 2]


def test_divergence_is_growth_over_the_first_residual():
    """A sample diverges when its residual exceeds `divergence` times the first, not the smallest, it had."""
    statuses = play([1.0, 0.01, 99.0], [1.0, 0.01, 101.0], divergence=100.0).status
    assert statuses == (Status.MAX_STEPS, Status.DIVERGED)
    assert play([1.0, 1e100, 0.0], divergence=np.inf).status == (Status.CONVERGED,)


def test_growth_is_called_divergence_when_the_steps_are_used_up():
    """A residual of 1e4 times the first one may still come down, until there are no steps left."""
    assert play([1.0, 2e4, 0.0]).status == (Status.CONVERGED,)
    assert play([1.0, 2e4]).status == (Status.DIVERGED,)
    assert play([1.0, 5e3]).status == (Status.MAX_STEPS,)


def test_stagnation_ends_with_the_best_iterate():
    """A sample that comes no further for `stagnation` steps has stalled and returns its best; others go on."""
    solution = play([1.0, 0.5, 0.6, 0.6, 0.0], [1.0, 0.8, 0.6, 0.4, 0.0], stagnation=2)
    assert solution.status == (Status.STALLED, Status.CONVERGED)
    assert solution.steps.tolist() == [3, 4]
    assert solution.z[0, 0] == 0.5
    assert play([1.0, 0.5, 0.6, 0.6, 0.0]).status == (Status.CONVERGED,)


def test_a_nonfinite_initial_guess_is_reported_and_returned():
    """A sample without any finite iterate ends as NONFINITE at once, with a residual that is not finite either."""
    known = replace(TANH, z0=np.where(np.arange(5)[:, None] == 2, np.nan, TANH.z0))
    solution = solve_map(known, Picard())
    assert solution.status[2] is Status.NONFINITE
    assert solution.steps[2] == 0
    assert np.isnan(solution.residual_norm[2])
    assert np.isnan(solution.z[2]).all()


def test_no_steps_are_allowed():
    """With max_steps=0 the initial guess is judged and returned, for an evaluation, and one for the slope."""
    known = replace(TANH, z0=np.concatenate([TANH.solution[:2], TANH.z0[2:]]))
    for solver in SOLVERS:
        solution = solve_map(known, solver, max_steps=0)
        assert solution.status == (Status.CONVERGED,) * 2 + (Status.MAX_STEPS,) * 3
        np.testing.assert_array_equal(solution.z, known.z0)
        assert solution.nfe == 2
        assert solution.trace.shape == (1, 5)


def test_no_samples():
    """An empty batch is solved, successfully, without a step."""
    solution = solve(lambda z: 0.5 * z, NewtonGMRES(), np.zeros((0, 3)))
    assert solution.success
    assert solution.z.shape == (0, 3)
    assert str(solution)


# --- a method with its own loop


@dataclass(frozen=True)
class Bisection:
    """A whole-solve method: halve an interval, for all samples at once."""

    def run(self, problem: FixedPointProblem, z0: Any, max_steps: int) -> State:
        """Return the middle of the last interval."""
        low, high = z0 - 10.0, z0 + 10.0
        for _ in range(max_steps):
            middle = (low + high) / 2
            above = problem.residual(middle) > 0
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return State(low, problem.residual(low))


def test_a_whole_solver_is_judged_like_any_other():
    """The driver counts, tests and reports what a method with its own loop returns."""
    z0 = np.zeros((3, 1))
    solution = solve(np.cos, Bisection(), z0, rtol=1e-6, max_steps=40)
    assert solution.success
    np.testing.assert_allclose(solution.z, 0.7390851332151607, rtol=1e-5)
    assert solution.nfe == 42 + 1  # for the slope where it ended
    assert solution.trace.shape == (2, 3)
    few = solve(np.cos, Bisection(), z0, rtol=1e-6, max_steps=4, on_failure="record")
    assert set(few.status) == {Status.MAX_STEPS}
    none = solve(np.cos, Bisection(), z0, rtol=1e-6, max_steps=0, on_failure="record")
    assert none.nfe == 1
    np.testing.assert_array_equal(none.z, z0)
