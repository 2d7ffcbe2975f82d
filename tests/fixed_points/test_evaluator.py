from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, Picard, SolveOptions, State, solve
from equilib.fixed_points.evaluator import Counts, Evaluator, counted
from equilib.fixed_points.solver import Solver
from tests.arrays_under_test import lift, lower
from tests.installed import iterative_solvers
from tests.problems import LINEAR, TANH
from tests.solving import NORMS

# --- made by hand


@pytest.mark.parametrize("norm", NORMS)
def test_one_line_makes_it_complete(norm: str, xp: ModuleType):
    """Of a problem and a guess alone: all samples are active, the tolerance is that at the guess, counts are zero."""
    options = SolveOptions(rtol=1e-2, atol=1e-3, norm=norm)
    z0 = lift(xp, TANH.solution)
    f = Evaluator(TANH.problem(xp), z0, options)
    size = NORMS[norm](TANH.solution)
    assert f.active.tolist() == [True] * 5
    np.testing.assert_allclose(f.size(z0), size, rtol=1e-12)
    np.testing.assert_allclose(f.tolerance, 1e-3 + 1e-2 * size, rtol=1e-12)
    np.testing.assert_allclose(f.tolerance_at(z0, z0), f.tolerance, rtol=1e-12)
    assert f.counts == Counts()
    assert not f.affine


@pytest.mark.parametrize("solver", iterative_solvers())
def test_every_solver_can_be_stepped_by_hand(solver: Solver):
    """A loop of three lines gets what `solve` gets, whatever the solver asks its evaluator for."""
    z0 = LINEAR.z0
    f = Evaluator(LINEAR.problem(), z0)
    state = solver.init(f, z0)
    while (f.size(state.residual) > f.tolerance_at(state.z, state.residual)).any():
        assert f.counts.nfe < 1000
        state = solver.step(f, state)
    np.testing.assert_allclose(state.z, LINEAR.solution, atol=1e-2)


def test_what_is_missing_is_a_factor_of_the_residual():
    """It is tolerance / residual, at most 1, and 1 where the residual is zero."""
    f = Evaluator(TANH.problem(), TANH.z0, tolerance=np.array([1e-3, 1e-3, 1e-3, 1e-3, 0.0]))
    size = np.array([1.0, 1e-2, 1e-4, 0.0, 1.0])
    np.testing.assert_allclose(f.missing(size), [1e-3, 1e-1, 1.0, 1e-3, 0.0])


def test_it_needs_no_assertions():
    """Under `python -O`, which removes them, a solver stepped by hand takes the same steps."""
    program = (
        "import numpy as np\n"
        "from equilib import FixedPointProblem, ops\n"
        "from equilib.fixed_points.evaluator import Evaluator\n"
        "from equilib_newton_gmres.solver import NewtonGMRES\n"
        "z = np.array([[0.5, 2.0]])\n"
        "f, solver = Evaluator(FixedPointProblem(ops.cos), z), NewtonGMRES()\n"
        "print(solver.step(f, solver.init(f, z)).z.tolist())"
    )
    plain, optimized = (
        subprocess.run([sys.executable, *flags, "-c", program], capture_output=True, text=True, check=True).stdout
        for flags in ([], ["-O"])
    )
    assert plain == optimized
    assert plain.startswith("[[")


# --- counts


def test_every_use_is_counted():
    """Calls, residuals and linearizations count as evaluations of f, products as jvp and vjp."""
    f, z = Evaluator(TANH.problem(), TANH.z0), TANH.z0
    f(z)
    f.residual(z)
    linear = f.linearize(z)
    assert f.counts == Counts(nfe=3, sample_nfe=15)
    for _ in range(2):
        linear.jvp(z)
    linear.vjp(z)
    assert f.counts == Counts(nfe=3, njvp=2, nvjp=1, sample_nfe=15)
    np.testing.assert_array_equal(f.residual(z), f.problem(z) - z)


def test_what_some_samples_use_is_counted_for_all():
    """A restriction has the active samples and tolerances of its own, and shares the counts."""
    problem = FixedPointProblem(lambda z, a: a * z, np.arange(5.0)[:, None], batched_inputs=(True,))
    z = np.ones((5, 3))
    f = Evaluator(problem, z, active=np.arange(5) != 3)
    f.tolerance = np.arange(5.0)
    part = f.restricted(np.array([4, 3]))
    np.testing.assert_array_equal(part(z[:2]), [[4.0] * 3, [3.0] * 3])
    assert (part.active.tolist(), part.tolerance.tolist()) == ([True, False], [4.0, 3.0])
    f(z)
    assert part.counts is f.counts
    assert f.counts == Counts(nfe=2, sample_nfe=7)
    assert f.problem.inputs[0] is problem.inputs[0]
    assert f.active.sum() == 4


def test_a_counted_problem_is_the_same_problem():
    """`counted` counts every use, of its map alone too, and changes no value and no declaration."""
    problem, counts = LINEAR.problem(affine=True), Counts()
    same = counted(problem, counts)
    z = LINEAR.z0
    np.testing.assert_array_equal(same(z), problem(z))
    same.f(z, *same.inputs)
    linear = same.linearize(z)
    np.testing.assert_array_equal(linear.jvp(z), problem.linearize(z).jvp(z))
    np.testing.assert_array_equal(linear.vjp(z), problem.linearize(z).vjp(z))
    assert counts == Counts(nfe=3, njvp=1, nvjp=1, sample_nfe=15)
    assert same.affine
    assert same.inputs[0] is problem.inputs[0]


# --- solvers of others


class Old:
    """Picard iteration by somebody who calls the evaluator a problem, and skips the samples that have finished."""

    def init(self, problem: Any, z0: Any) -> State:
        """Evaluate the initial guess."""
        return State(z0, problem.residual(z0))

    def step(self, problem: Any, state: Any) -> State:
        """Return the next iterate of the active samples."""
        z = np.where(problem.active[:, None], problem.linearize(state.z).value, state.z)
        return State(z, problem.residual(z))


def test_parameters_may_have_any_name():
    """What is asked of an evaluator is what was asked of a problem: the names of parameters are the solver's."""
    found, expected = (solve(TANH.problem(), solver, TANH.z0, rtol=1e-8, max_steps=100) for solver in (Old(), Picard()))
    np.testing.assert_array_equal(found.z, expected.z)
    assert lower(found.z).shape == TANH.z0.shape


def test_a_declaration_that_is_wrong_is_refused():
    """An input that should have the batch axis and has not is named when the evaluator is made."""
    problem = FixedPointProblem(lambda z, a: a * z, np.ones((3, 1)), batched_inputs=(True,))
    with pytest.raises(ValueError, match=r"input 0 .* it has the shape \(3, 1\) where z0 has 5 samples"):
        Evaluator(problem, np.ones((5, 1)))
