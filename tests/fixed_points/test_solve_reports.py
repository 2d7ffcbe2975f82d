from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import (
    ConvergenceError,
    ConvergenceWarning,
    FixedPointProblem,
    ImplicitAdjoint,
    Picard,
    Solution,
    SolveOptions,
    Solver,
    Status,
    ops,
    solve,
)
from equilib.autodiff import value_and_grad
from equilib.numerics.gmres import GMRES
from equilib_newton_gmres.solver import NewtonGMRES
from tests.problems import (
    NO_FIXED_POINT,
    ROTATION,
    STEEP,
    TANH,
    KnownMap,
)
from tests.solving import (
    SOLVERS,
    play,
    solve_map,
)

# --- what is counted and recorded


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
@pytest.mark.parametrize("known", [TANH, STEEP, NO_FIXED_POINT], ids=str)
def test_counters_are_the_real_numbers_of_calls(known: KnownMap, solver: Solver):
    """`nfe`, `njvp` and `nvjp` of a solve and of its adjoint equal what the functions themselves counted."""
    calls: Counter[str] = Counter()

    def counting(name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            calls[name] += 1
            return getattr(known, name)(*args)

        return call

    problem = FixedPointProblem(
        lambda z: counting("f")(z, known.bias),
        jvp=lambda z, v: counting("jvp")(z, v, known.bias),
        vjp=lambda z, w: counting("vjp")(z, w, known.bias),
    )
    solution = solve(problem, solver, known.z0, max_steps=20, on_failure="record")
    assert (solution.nfe, solution.njvp, solution.nvjp) == (calls["f"], calls["jvp"], calls["vjp"])
    assert solution.nfe > 1
    before = calls.copy()
    adjoint = ImplicitAdjoint().pullback(problem, solution, np.ones_like(known.z0)).solves[0]
    assert adjoint is not None
    assert adjoint.nfe + adjoint.njvp == calls["vjp"] - before["vjp"]
    assert adjoint.nvjp == calls["jvp"] - before["jvp"]


def test_the_trace_is_the_history_of_residuals():
    """Row k holds the norms after k steps, the guess first; a finished sample repeats its last entry."""
    solution = play([1.0, 5e-4, 7.0, 3.0], [1.0, 0.5, 0.75, 0.25], [1.0, np.nan, 1.0, 1.0])
    expected = [[1.0, 1.0, 1.0], [5e-4, 0.5, np.nan], [5e-4, 0.75, np.nan], [5e-4, 0.25, np.nan]]
    np.testing.assert_array_equal(solution.trace, expected)
    assert solution.steps.tolist() == [1, 3, 1]


def test_the_solution_keeps_what_it_came_from():
    """A solution holds its initial guess, its options and the name of its solver with its options."""
    solution = solve_map(TANH, NewtonGMRES(GMRES(3)), rtol=1e-5)
    assert solution.z0 is not None
    np.testing.assert_array_equal(solution.z0, TANH.z0)
    assert solution.options.rtol == 1e-5
    assert "restart=3" in solution.solver
    assert "5 of 5 converged" in str(solution)


# --- what happens on failure


def failing(on_failure: str, **options: Any) -> Solution:
    """Solve with one sample converged, one nan, and three out of steps."""
    known = replace(ROTATION, z0=np.concatenate([ROTATION.solution[:1], ROTATION.z0[1:]])).poisoned(1)
    return solve_map(known, Picard(), max_steps=7, on_failure=on_failure, **options)


@pytest.mark.parametrize(
    ("f", "text"),
    [(lambda z: 3 * z + 1, "the residual grew"), (lambda z: z + 1, "z grew, its residual did not fall")],
    ids=["expansive", "drift"],
)
def test_a_divergence_says_what_grew(f: Any, text: str):
    """The report tells a residual that grew from a z that drifted away."""
    found = solve(f, Picard(), np.ones((1, 2)), max_steps=400, on_failure="record")
    assert found.status == (Status.DIVERGED,)
    assert text in found.failure_report()


def test_a_failure_is_raised_with_the_evidence_and_the_next_step():
    """The error says how many samples failed, how, how far they are off, and what to do; it holds the solution."""
    with pytest.raises(ConvergenceError) as caught:
        failing("raise")
    text, solution = str(caught.value), caught.value.solution
    assert solution.status == (Status.CONVERGED, Status.NONFINITE) + (Status.MAX_STEPS,) * 3
    assert "left 4 of 5 samples unconverged" in text
    assert "3 × max_steps was reached; raise it" in text
    assert "1 × a nan or inf appeared, in f or in the solver's own arithmetic; check the inputs" in text
    assert "after 7 steps, 9 evaluations" in text
    assert "Picard(damping=0.0)" in text
    worst = play([0.5, 0.25], [2.0, 1.5]).failure_report()
    assert "residual up to 1.50e+00" in worst


@pytest.mark.parametrize("batched", [True, False])
def test_a_failure_is_warned_about_where_solve_was_called(batched: bool):
    """The warning carries the report and points to the caller's line; the solution is returned."""
    with pytest.warns(ConvergenceWarning, match="1 of 1 samples unconverged") as caught:
        solution = solve(lambda z: z + 1, Picard(), np.zeros((1, 2)), on_failure="warn", batched=batched)
    assert [Path(warning.filename) for warning in caught] == [Path(__file__)]
    assert not solution.success


def test_a_failure_is_recorded_in_silence():
    """With on_failure="record" nothing is raised or warned about; the statuses tell."""
    assert not failing("record").success


@pytest.mark.parametrize("on_failure", ["raise", "warn", "record"])
def test_success_is_silent(on_failure: str):
    """No policy has anything to say about a solve that converged."""
    assert solve_map(TANH, NewtonGMRES(), on_failure=on_failure).success


# --- what is refused


@pytest.mark.parametrize("solver", [Picard(), NewtonGMRES()], ids=str)
@pytest.mark.parametrize("batched", [True, False])
def test_f_must_keep_the_shape(solver: Solver, batched: bool):
    """A result of another shape is refused, also where it would broadcast to the right one."""
    for shape in [(1, 4), (3, 1), (4,), (3, 5), ()]:
        problem = FixedPointProblem(lambda z, shape=shape: np.zeros(shape), jvp=lambda z, v: v)
        with pytest.raises(ValueError, match=r"f must keep the shape of z: \((1, )?3, 4\) became"):
            solve(problem, solver, np.zeros((3, 4)), batched=batched)


@pytest.mark.parametrize("solver", [Picard(), NewtonGMRES()], ids=str)
def test_f_must_keep_the_dtype(solver: Solver):
    """A wider dtype is refused: it would spread from one float64 constant through a float32 solve."""
    problem = FixedPointProblem(lambda z: 0.5 * z + np.ones((2, 3)), jvp=lambda z, v: 0.5 * v)
    assert solve(problem, solver, np.zeros((2, 3))).success
    with pytest.raises(ValueError, match="keep the dtype of z: float32 became float64; give its inputs"):
        solve(problem, solver, np.zeros((2, 3), np.float32))


def test_f_must_return_an_array():
    """A list is refused."""
    with pytest.raises(TypeError, match="f must return what it is given, ndarray, it returned list"):
        solve(lambda z: [0.0], Picard(), np.zeros((1, 1)))


@pytest.mark.parametrize("solver", [Picard(), NewtonGMRES()], ids=str)
def test_solve_cannot_be_traced(solver: Solver, xp: ModuleType):
    """Differentiating through `solve` itself would be wrong; the error says what to use instead."""

    def loss(bias: Any) -> Any:
        problem = FixedPointProblem(lambda z: ops.tanh(ops.add(z, bias)))
        return ops.sum(solve(problem, solver, xp.zeros((2, 3))).z)

    with pytest.raises(TypeError, match=r"solve cannot be traced: .* use equilib\.fixed_point\(f, z0, "):
        value_and_grad(loss)(xp.ones((2, 3)))


def test_an_unknown_option_is_refused():
    """An override that is no field of SolveOptions is a TypeError that names the nearest one, or all."""
    with pytest.raises(TypeError, match=r"solve has no option 'rtoll'\. Did you mean 'rtol'\?"):
        solve(np.cos, Picard(), np.zeros((1, 1)), rtoll=1e-3)
    with pytest.raises(TypeError, match=r"no option 'xyz'\. It has: rtol, atol, max_steps, criterion, norm"):
        solve(np.cos, Picard(), np.zeros((1, 1)), xyz=1e-3)


def test_overrides_change_the_options_given():
    """Overrides are laid over `options`, whose other fields remain."""
    options = SolveOptions(rtol=1e-2, max_steps=9)
    solution = solve(np.cos, Picard(), np.zeros((1, 1)), options, atol=1e-1)
    assert solution.options == SolveOptions(rtol=1e-2, max_steps=9, atol=1e-1)
    assert options.atol != 1e-1
