from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from equilib import (
    ConvergenceError,
    ConvergenceWarning,
    FixedPointProblem,
    ImplicitAdjoint,
    JacobianFree,
    Picard,
    Solution,
    SolveOptions,
    State,
    Status,
    ops,
    solve,
)
from equilib.arrays.trees import tree_leaves, tree_map
from equilib.autodiff import value_and_grad
from equilib.layers import Chain, Dense
from equilib.models import DeepEquilibrium, InjectedCell
from equilib_broyden.limited import LimitedMemoryBroyden
from equilib_broyden.shine import Shine
from equilib_newton_gmres.solver import NewtonGMRES
from tests.solving import Scripted

SLOPES = np.array([[0.1], [-3.0], [0.2], [-2.0]])
EXPANSIVE = [1, 3]
C, M, S, D = Status.CONVERGED, Status.MAX_STEPS, Status.STALLED, Status.DIVERGED

declared = pytest.mark.parametrize("declared", [True, False], ids=["declared", "not declared"])


def lines(slopes: np.ndarray = SLOPES, *, declared: bool = True, sizes: list[int] | None = None) -> FixedPointProblem:
    """Return z ↦ a z + 1, with a fixed point at 1/(1 − a), which Picard iteration finds for |a| < 1 only."""

    def f(z: Any, a: Any) -> Any:
        if sizes is not None:
            sizes.append(len(z))
        return ops.add(ops.multiply(a, z), 1.0)

    return FixedPointProblem(f, slopes, batched_inputs=(True,) if declared else None)


def attempt(problem: FixedPointProblem, *solvers: Any, **options: Any) -> Solution:
    """Solve from zero with the first solver, and with the others as fallbacks."""
    options = {"rtol": 1e-8, "on_failure": "record", "compact": 0.0, **options}
    first, *others = solvers
    return solve(problem, first, np.zeros_like(problem.inputs[0]), fallback=tuple(others), **options)


@declared
def test_the_next_solver_takes_what_the_first_one_left(declared: bool):
    """All samples are solved, it is known by whom, and those of the first solver are left as they were."""
    alone, found = (attempt(lines(declared=declared), *each) for each in ([Picard()], [Picard(), NewtonGMRES()]))
    assert alone.status == (C, D, C, D)
    assert alone.solved_by == (str(Picard()),) * 4
    assert found.success
    np.testing.assert_allclose(found.z, 1 / (1 - SLOPES), rtol=1e-7)
    np.testing.assert_array_equal(found.z[[0, 2]], alone.z[[0, 2]])
    np.testing.assert_allclose(found.residual, SLOPES * found.z + 1 - found.z, atol=1e-15)
    assert found.attempt.tolist() == [0, 1, 0, 1]
    assert found.solved_by == tuple(map(str, (Picard(), NewtonGMRES(), Picard(), NewtonGMRES())))
    assert found.fallbacks == (str(NewtonGMRES()),)
    assert f"{Picard()}, then {NewtonGMRES()}" in str(found)


@declared
def test_the_next_solver_starts_from_the_initial_guess(declared: bool):
    """Its solve is, sample by sample, the one that it would have made by itself."""
    by_itself = attempt(lines(declared=declared), NewtonGMRES())
    found = attempt(lines(declared=declared), Picard(), NewtonGMRES())
    np.testing.assert_array_equal(found.z[EXPANSIVE], by_itself.z[EXPANSIVE])
    np.testing.assert_array_equal(found.residual_norm[EXPANSIVE], by_itself.residual_norm[EXPANSIVE])
    first = attempt(lines(declared=declared), Picard())
    np.testing.assert_array_equal(found.steps[EXPANSIVE], first.steps[EXPANSIVE] + by_itself.steps[EXPANSIVE])
    np.testing.assert_array_equal(found.trace[: len(first.trace)], first.trace)
    rest = found.trace[len(first.trace) :]
    np.testing.assert_array_equal(rest[:, EXPANSIVE], by_itself.trace[: len(rest), EXPANSIVE])
    np.testing.assert_array_equal(rest[:, [0, 2]], np.repeat(first.trace[-1:, [0, 2]], len(rest), axis=0))


@declared
def test_counts_add_up(declared: bool):
    """All evaluations of all solvers are counted; where it may, the next solver evaluates f on its samples only."""
    sizes: list[int] = []
    found = attempt(lines(declared=declared, sizes=sizes), Picard(), NewtonGMRES())
    assert (found.nfe, found.sample_nfe) == (len(sizes), sum(sizes))
    first = attempt(lines(declared=declared), Picard())
    assert found.nfe > first.nfe
    assert set(sizes[first.nfe :]) == ({2} if declared else {4})
    assert found.njvp > first.njvp == 0


def test_a_solver_that_is_not_needed_is_not_asked():
    """Where all samples have converged, a fallback costs nothing and leaves no trace."""

    @dataclass(frozen=True)
    class Refusing:
        def init(self, problem: FixedPointProblem, z0: Any) -> State:
            raise AssertionError("nobody asked")

        def step(self, problem: FixedPointProblem, state: State) -> State:
            raise AssertionError("nobody asked")

    problem = lines(SLOPES[[0, 2]])
    found = attempt(problem, Picard(), Refusing())
    assert found.fallbacks == ()
    assert found.nfe == attempt(problem, Picard()).nfe
    three = attempt(lines(), Picard(), NewtonGMRES(), Refusing())
    assert three.fallbacks == (str(NewtonGMRES()),)


@pytest.mark.parametrize(
    ("second", "value", "status", "number"),
    [
        ([1.0, 0.5, 0.7], 0.25, M, 0),  # the first solver came closer
        ([1.0, 0.1, 0.7], 0.1, M, 1),
        ([1.0, 0.25, 0.7], 0.25, M, 1),  # as close: the later one
        ([1.0, 2e16, 0.0], 0.25, M, 0),
        ([np.nan, 0.1, 0.1], 0.25, M, 0),
        ([1.0, 5e-4, 0.9], 5e-4, C, 1),
    ],
)
def test_the_best_iterate_of_all_is_returned(second: list[float], value: float, status: Status, number: int):
    """A sample that no solver solves has the iterate, the status and the solver of the best attempt."""
    scripts = [Scripted(tuple((each,) for each in script)) for script in ([1.0, 0.25, 0.9], second)]
    options: dict[str, Any] = {"rtol": 0.0, "atol": 1e-3, "max_steps": 2, "on_failure": "record"}
    found = solve(lambda z: 0.0 * z, scripts[0], np.zeros((1, 1)), fallback=(scripts[1],), **options)
    assert found.z[0, 0] == value
    assert found.residual[0, 0] == -value
    assert found.residual_norm[0] == value
    assert found.status == (status,)
    assert found.attempt.tolist() == [number]


def test_the_policy_applies_to_what_is_left():
    """Failures are raised, warned about or recorded after the last solver; the report names all of them."""
    nowhere = FixedPointProblem(lambda z, a: ops.add(z, a), np.array([[1.0], [0.0]]), jvp=lambda z, v, a: v)
    solvers = f"{Picard()}, then {NewtonGMRES()}, then {Picard(damping=0.5)}"
    chain = (Picard(), NewtonGMRES(), Picard(damping=0.5))
    with pytest.raises(ConvergenceError) as caught:
        attempt(nowhere, *chain, on_failure="raise")
    assert str(caught.value).startswith(f"{solvers} left 1 of 2 samples unconverged")
    assert caught.value.solution.status[1] is C
    with pytest.warns(ConvergenceWarning, match="left 1 of 2"):
        attempt(nowhere, *chain, on_failure="warn")
    assert attempt(lines(), Picard(), NewtonGMRES(), on_failure="raise").success


def test_a_nan_in_the_first_solver_does_not_matter_to_the_next():
    """A sample that became nan is solved by the next solver; one whose guess is nan stays NONFINITE."""
    roots = FixedPointProblem(
        lambda z, a: np.sqrt(a - 4 * z), np.array([[1.0], [1.0]]), jvp=lambda z, v, a: -2 * v / np.sqrt(a - 4 * z)
    )
    z0 = np.array([[0.0], [np.nan]])
    found = solve(roots, Picard(), z0, fallback=(NewtonGMRES(),), rtol=1e-8, on_failure="record")
    assert found.status == (C, Status.NONFINITE)
    np.testing.assert_allclose(found.z[0], np.sqrt(5) - 2, rtol=1e-6)


def test_without_a_batch_axis():
    """A single system falls back as a batch of one does."""
    problem = FixedPointProblem(lambda z: 1 - 3 * z, jvp=lambda z, v: -3 * v)
    found = solve(problem, Picard(), np.zeros(2), batched=False, fallback=[NewtonGMRES()])
    assert found.z.shape == (2,)
    assert found.solved_by == (str(NewtonGMRES()),)
    np.testing.assert_allclose(found.z, 0.25)


def test_a_single_solver_is_no_tuple():
    """`fallback=solver` is answered with how to write it."""
    with pytest.raises(TypeError, match=r"fallback=\(solver,\)"):
        solve(lines(), Picard(), np.zeros((4, 1)), fallback=NewtonGMRES())  # type: ignore[arg-type]


# --- derivatives


def test_shine_takes_the_cotangent_where_a_fallback_solved():
    """H of a solver that failed is not used: w = g there, as without a Jacobian; elsewhere w = −Hᵀg as before."""
    slopes = np.array([[0.1, 0.3], [-30.0, -50.0], [0.2, 0.5]])
    problem = lines(slopes)
    g = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    first = LimitedMemoryBroyden(growth=5.0, rejections=1)
    alone = attempt(problem, first, max_steps=4)
    found = attempt(problem, first, NewtonGMRES(), max_steps=4)
    assert found.success
    assert alone.status[1] is not C
    assert found.attempt.tolist() == [0, 1, 0]
    w, before = (Shine().pullback(problem, each, g).solves[0] for each in (found, alone))
    assert w is not None
    assert before is not None
    assert not np.allclose(before.z[1], g[1])
    np.testing.assert_array_equal(w.z[1], g[1])
    np.testing.assert_array_equal(w.z[[0, 2]], before.z[[0, 2]])
    refined = Shine(refine=20).pullback(problem, found, g).solves[0]
    assert refined is not None
    np.testing.assert_allclose(refined.z, g / (1 - slopes), rtol=1e-6)


@pytest.mark.parametrize("sensitivity", [None, ImplicitAdjoint(), JacobianFree()], ids=str)
def test_a_model_falls_back(sensitivity: Any, rng: np.random.Generator):
    """`DeepEquilibrium(fallback=...)` has the values, statuses and gradients of one that takes the robust solver."""
    cell = InjectedCell(Dense(3, 4), Dense(4, 4), Chain(ops.tanh))
    options = SolveOptions(rtol=1e-10, max_steps=40, on_failure="record")
    x = rng.standard_normal((6, 3))
    weak = DeepEquilibrium(cell, Picard(), options=options, sensitivity=sensitivity or ImplicitAdjoint())
    backed = DeepEquilibrium(
        cell, Picard(), options=options, sensitivity=sensitivity or ImplicitAdjoint(), fallback=(NewtonGMRES(),)
    )
    robust = DeepEquilibrium(cell, NewtonGMRES(), options=options, sensitivity=sensitivity or ImplicitAdjoint())
    params = tree_map(lambda leaf: leaf.astype(np.float64), weak.init(np.random.default_rng(2)))
    params["cell"]["recur"]["weight"] = -1.1 * np.eye(4)
    assert M in weak(params, x).status
    found = backed(params, x)
    assert set(found.status) == {C}
    assert found.solution is not None
    assert found.solution.attempt.sum() > 0

    def gradient(deq: DeepEquilibrium) -> list[np.ndarray]:
        def loss(p: Any) -> Any:
            z = deq(p, x).z
            return ops.sum(ops.multiply(z, z))

        return tree_leaves(value_and_grad(loss)(params)[1])

    for mine, theirs in zip(gradient(backed), gradient(robust), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-8)
