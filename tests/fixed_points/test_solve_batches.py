from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from equilib import (
    ConvergenceError,
    FixedPointProblem,
    Picard,
    Solution,
    SolveOptions,
    Solver,
    Status,
    ops,
    solve,
)
from equilib_linear_solvers.library import LibraryGMRES
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import NAMESPACES, OTHERS, lift, lower
from tests.problems import (
    EXPANSIVE,
    LINEAR,
    NO_FIXED_POINT,
    REGULAR,
    STEEP,
    TANH,
    KnownMap,
)
from tests.rounding import check_same_but_for_rounding
from tests.solving import (
    PER_SAMPLE,
    SOLVERS,
    every_per_sample_solver,
    solve_map,
)

# SciPy's GMRES takes NumPy arrays.
ANYWHERE = [
    (each, name) for each in SOLVERS for name in NAMESPACES if name == "numpy" or each != NewtonGMRES(LibraryGMRES())
]


# --- one sample and the others


def same_bits(one: Solution, other: Solution, samples: np.ndarray) -> None:
    """Check that two solves agree bit for bit in the given samples."""
    assert np.asarray(one.status)[samples].tolist() == np.asarray(other.status)[samples].tolist()
    for name in ("z", "residual", "residual_norm", "steps"):
        np.testing.assert_array_equal(getattr(one, name)[samples], getattr(other, name)[samples], err_msg=name)


@every_per_sample_solver
@pytest.mark.parametrize("known", [TANH, STEEP, LINEAR], ids=str)
@pytest.mark.parametrize("where", ["bias", "guess"])
def test_a_nan_in_one_sample_does_not_touch_the_others(known: KnownMap, solver: Solver, where: str):
    """The others' iterates, residuals, steps and statuses are bit for bit those of a run without it."""
    sample = 3
    others = np.arange(5) != sample
    guess = np.where(others[:, None], known.z0, np.nan)
    spoilt = known.poisoned(sample) if where == "bias" else replace(known, z0=guess)
    ordinary, ill = solve_map(known, solver, max_steps=30), solve_map(spoilt, solver, max_steps=30)
    assert ill.status[sample] is Status.NONFINITE
    assert ordinary.status[sample] is not Status.NONFINITE
    same_bits(ordinary, ill, others)


@every_per_sample_solver
def test_a_nan_on_the_way_does_not_touch_the_others(solver: Solver):
    """Likewise where a sample becomes nan at its second evaluation only, in its value or in its derivative."""

    def f(z: Any, edge: Any) -> Any:
        return ops.sqrt(ops.subtract(edge, z))  # nan above the edge; the fixed point is (√(1 + 4 edge) − 1) / 2

    def jvp(z: Any, v: Any, edge: Any) -> Any:
        return ops.divide(ops.multiply(v, -0.5), f(z, edge))

    edges = np.array([[2.0], [2.5], [3.0], [0.1]])
    well = np.array([[0.5], [0.1], [0.7], [0.05]])
    ill = np.array([[0.5], [0.1], [0.7], [-0.5]])  # f(−0.5) = √0.6 is beyond the edge 0.1
    at_once = np.array([[0.5], [0.1], [0.7], [0.1]])  # f(0.1) = 0 with an infinite slope
    problem = FixedPointProblem(f, edges, jvp=jvp)
    options = SolveOptions(on_failure="record", rtol=1e-6)
    reference = solve(problem, solver, well, options)
    assert set(reference.status[:3]) == {Status.CONVERGED}
    for z0 in (ill, at_once):
        same_bits(reference, solve(problem, solver, z0, options), np.arange(4) < 3)
    if isinstance(solver, Picard):
        assert solve(problem, solver, ill, options).status[3] is Status.NONFINITE


@every_per_sample_solver
@pytest.mark.parametrize("known", [*REGULAR, STEEP, NO_FIXED_POINT], ids=str)
def test_samples_solved_one_by_one_give_the_same(known: KnownMap, solver: Solver):
    """Statuses, steps and, but for rounding, iterates do not depend on the other samples of the batch."""
    together = solve_map(known, solver, rtol=1e-6, max_steps=60)
    for i in range(len(known.bias)):
        alone = solve_map(known.rows([i]), solver, rtol=1e-6, max_steps=60)
        assert alone.status[0] is together.status[i]
        assert alone.steps[0] == together.steps[i]
        np.testing.assert_allclose(alone.z[0], together.z[i], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("known", [LINEAR, TANH, EXPANSIVE, NO_FIXED_POINT], ids=str)
def test_a_solver_that_couples_samples_agrees_within_the_tolerance(known: KnownMap):
    """With the library's GMRES, statuses do not depend on the other samples, nor do iterates beyond 10·rtol."""
    rtol = 1e-6
    together = solve_map(known, NewtonGMRES(LibraryGMRES()), rtol=rtol)
    for i in range(len(known.bias)):
        alone = solve_map(known.rows([i]), NewtonGMRES(LibraryGMRES()), rtol=rtol)
        assert alone.status[0] is together.status[i]
        np.testing.assert_allclose(alone.z[0], together.z[i], atol=10 * rtol)


# --- without a batch axis


@pytest.mark.parametrize(("solver", "library"), ANYWHERE, ids=str)
@pytest.mark.parametrize("shape", [(), (6,), (2, 3)])
def test_unbatched_is_a_batch_of_one(solver: Solver, library: str, shape: tuple[int, ...]):
    """With batched=False all elements of z0 form one system: the answer is that of a batch of one, without its axis."""
    xp = NAMESPACES[library]
    bias = np.linspace(-1.0, 1.0, int(np.prod(shape))).reshape(shape)
    couple = lambda z: ops.multiply(ops.sum(z), 0.1)  # noqa: E731
    f = lambda z, b: ops.tanh(ops.subtract(b, ops.add(ops.multiply(z, 0.5), couple(z))))  # noqa: E731
    b = lift(xp, bias)
    problem = FixedPointProblem(f, b)
    solution = solve(problem, solver, xp.zeros_like(b), batched=False, rtol=1e-9, atol=1e-12, max_steps=200)
    assert solution.z.shape == solution.residual.shape == solution.z0.shape == shape
    assert solution.status == (Status.CONVERGED,)
    assert len(solution.steps) == len(solution.residual_norm) == 1
    assert not solution.batched
    np.testing.assert_allclose(lower(f(solution.z, b)), lower(solution.z), atol=1e-8)


def test_unbatched_failures_hold_an_unbatched_solution():
    """The solution in the error has the shape of z0."""
    with pytest.raises(ConvergenceError) as caught:
        solve(lambda z: z + 1, Picard(), np.zeros(3), batched=False, on_failure="raise")
    assert caught.value.solution.z.shape == (3,)


def test_z0_without_axes_needs_batched_false():
    """A scalar has no batch axis, and the error says what to pass."""
    with pytest.raises(ValueError, match="pass batched=False"):
        solve(np.cos, Picard(), np.array(0.5))


# --- on every array library


@pytest.mark.parametrize("solver", PER_SAMPLE, ids=str)
@pytest.mark.parametrize("known", REGULAR, ids=str)
@pytest.mark.parametrize("by_hand", [True, False], ids=["by hand", "autodiff"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("library", OTHERS)
def test_every_array_library_gives_the_same_answer(
    known: KnownMap, solver: Solver, by_hand: bool, dtype: str, library: str
):
    """Statuses, steps, counts and iterates are those on NumPy's arrays but for rounding, with either derivative."""
    options = {"rtol": {"float64": 1e-8, "float32": 1e-4}[dtype], "max_steps": 40, "on_failure": "record"}
    xp = NAMESPACES[library]
    z0 = lift(xp, known.z0, dtype)
    solution = solve(known.problem(xp, by_hand=by_hand, dtype=dtype), solver, z0, **options)
    assert type(solution.z) is type(z0)
    assert str(solution.z.dtype).endswith(dtype)
    check_same_but_for_rounding(known, solver, solution, by_hand=by_hand, **options)
