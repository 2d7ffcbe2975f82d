"""The adjoint reversible: the gradient of the steps that were taken, whatever it has to do for it."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, Picard, Solution, SolveOptions, Status, equilibrium, ops, solve
from equilib.arrays.trees import tree_leaves
from equilib.autodiff import jvp, value_and_grad
from equilib.cli import main
from equilib.fixed_points.evaluator import Counts, counted
from equilib.layers import Chain, Dense
from equilib.models import DeepEquilibrium, InjectedCell
from equilib.models.initial_guess import LayerGuess
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_revdeq.reversible import NoStepsError, Reversible
from equilib_revdeq.solver import RevDEQ
from tests.arrays_under_test import lift, lower

BATCH, SIZE = 5, 12
ROUNDINGS = 100
"""Units of rounding, relative to the largest element, that two orders of the same sums may differ by."""


def cell(z: Any, W: Any, x: Any) -> Any:
    """Return tanh(z W + x)."""
    return ops.tanh(ops.add(ops.matmul(z, W), x))


def drawn(size: float, dtype: str = "float64", seed: int = 0) -> tuple[np.ndarray, ...]:
    """Return W with the given norm, x, z0 and a cotangent."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((SIZE, SIZE))
    others = (rng.standard_normal((BATCH, SIZE)) for _ in range(3))
    x, z0, g = (each.astype(dtype) for each in others)
    return (size * W / np.linalg.norm(W, 2)).astype(dtype), x, 0.3 * z0, g


def taken(steps: int, W: Any, x: Any, z0: Any, xp: ModuleType = np, **options: Any) -> tuple[Any, Solution]:
    """Return the problem, and where so many steps lead."""
    problem = FixedPointProblem(cell, *lift(xp, (W, x)), batched_inputs=(False, True))
    limits = {"rtol": 0.0, "atol": 0.0, "max_steps": steps, "divergence": 1e30, "on_failure": "record", **options}
    return problem, solve(problem, RevDEQ(), lift(xp, z0), **limits)


def reached(solution: Solution) -> np.ndarray:
    """Return after how many steps each sample was where the solution is."""
    return np.where(solution.converged, solution.steps, np.argmin(solution.trace, axis=0))


def loop(W: Any, x: Any, z0: Any, steps: np.ndarray, share: float = 0.25) -> Any:
    """Return where the steps lead that each sample takes."""
    y = z = z0
    for n in range(int(max(steps))):
        y = share * y + (1 - share) * cell(z, W, x)
        z = ops.where((steps > n)[:, None], share * z + (1 - share) * cell(y, W, x), z)
    return z


def through_the_steps(W: Any, x: Any, z0: Any, g: Any, steps: np.ndarray) -> Any:
    """Return the gradient of ⟨g, z⟩ with respect to W, x and z0 by autodiff of the loop, each sample with its steps."""
    return value_and_grad(lambda at: ops.sum(ops.multiply(loop(*at, steps), g)))((W, x, z0))[1]


def agree(pulled: Any, expected: Any, roundings: float = ROUNDINGS) -> None:
    """Require that the cotangents of the inputs and of the start are the expected ones, to rounding."""
    for found, right in zip((*pulled.inputs, pulled.start), expected, strict=True):
        error = np.max(np.abs(lower(found) - right)) / np.max(np.abs(right))
        assert error < roundings * np.finfo(right.dtype).eps


@pytest.mark.parametrize("steps", [1, 4, 8, 16, 32, 64])
@pytest.mark.parametrize("size", [0.5, 0.95, 1.5, 2.0])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_gradient_is_that_of_the_steps(steps: int, size: float, dtype: str):
    """With W, x and z0 it is that of autodiff through the loop, to rounding: f contracting, and weakly expansive."""
    W, x, z0, g = drawn(size, dtype)
    problem, solution = taken(steps, W, x, z0)
    expected = through_the_steps(W, x, z0, g, reached(solution))
    pulled = Reversible().pullback(problem, solution, g)
    agree(pulled, expected)
    assert all(each.dtype == dtype for each in tree_leaves((pulled.inputs, pulled.start)))


@pytest.mark.parametrize("checkpoints", [1, 2, 7])
def test_checkpoints_change_nothing_but_the_evaluations(checkpoints: int):
    """The gradient is the same, bit for bit, the fewer are kept the more is computed again."""
    W, x, z0, g = drawn(0.95)
    problem, solution = taken(60, W, x, z0)
    few, many = (Reversible(n).pullback(problem, solution, g) for n in (checkpoints, checkpoints + 1))
    for one, other in zip((*few.inputs, few.start), (*many.inputs, many.start), strict=True):
        np.testing.assert_array_equal(one, other)
    assert few.solves[0].nfe >= many.solves[0].nfe


@pytest.mark.parametrize("compact", [0.0, 0.5])
def test_every_sample_has_its_own_steps(compact: float):
    """What converged sooner has the gradient of its fewer steps, also where it has left the batch meanwhile."""
    W, x, z0, g = drawn(0.9)
    x[:2] *= 30.0
    problem, solution = taken(100, W, x, z0, rtol=1e-7, compact=compact)
    assert solution.success
    assert len(set(solution.steps)) > 2
    assert (solution.sample_nfe < BATCH * solution.nfe) == (compact > 0)
    agree(Reversible().pullback(problem, solution, g), through_the_steps(W, x, z0, g, solution.steps))


def test_the_gradient_is_that_of_differences():
    """It is the derivative of what the solver returns after three steps, along a direction of W, x and z0."""
    *at, g = drawn(0.9)
    pulled = Reversible().pullback(*taken(3, *at), g)
    ways = drawn(1.0, seed=1)[:3]
    ends = [np.sum(g * taken(3, *(a + s * way for a, way in zip(at, ways, strict=True)))[1].z) for s in (1e-6, -1e-6)]
    slope = sum(np.sum(bar * way) for bar, way in zip((*pulled.inputs, pulled.start), ways, strict=True))
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-6, rtol=1e-8)


def test_at_the_fixed_point_it_is_the_implicit_gradient():
    """Where the steps have converged w = (I − J)⁻ᵀ g, and the initial guess has no influence."""
    W, x, z0, g = drawn(0.7)
    problem, solution = taken(300, W, x, z0, rtol=1e-14)
    assert solution.success
    pulled = Reversible().pullback(problem, solution, g)
    J = (1 - solution.z**2)[:, :, None] * W.T
    w = np.linalg.solve(np.eye(SIZE) - J.swapaxes(1, 2), g[:, :, None])[:, :, 0]
    for found, right in zip(pulled.inputs, problem.linearize(solution.z).inputs_vjp(w), strict=True):
        np.testing.assert_allclose(found, right, rtol=0, atol=1e-9 * np.max(np.abs(right)))
    assert np.max(np.abs(pulled.start)) < 1e-9 * np.max(np.abs(g))


@pytest.mark.parametrize(("dtype", "steps"), [("float64", 11), ("float32", 6)])
def test_steps_are_taken_back_without_any_being_repeated(dtype: str, steps: int):
    """As long as precision lasts a step back costs two linearizations, which are what the report counts."""
    W, x, z0, g = drawn(0.9, dtype)
    problem, solution = taken(steps, W, x, z0)
    counts = Counts()
    report = Reversible().pullback(counted(problem, counts), solution, g).solves[0]
    assert (counts.nfe, counts.nvjp) == (report.nfe, report.nvjp) == (2 * steps, 2 * steps)
    assert (report.steps == steps).all()
    assert not Reversible().pullback(problem, solution, g).failed


def test_memory_does_not_grow_with_the_steps():
    """The peak of solve and pullback after 200 steps is that after 50, which is that after 10 and the states kept."""
    z0, bias = np.zeros((1, 20_000)), np.linspace(-1, 1, 20_000)[None]
    problem = FixedPointProblem(lambda z, b: 0.99 * ops.tanh(z) + b, bias)
    peaks = []
    for steps in (10, 50, 200):
        tracemalloc.start()
        solution = solve(problem, RevDEQ(), z0, rtol=0.0, atol=0.0, max_steps=steps, on_failure="record")
        Reversible().pullback(problem, solution, np.ones_like(z0))
        peaks.append(tracemalloc.get_traced_memory()[1] / z0.nbytes)
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + 1
    assert peaks[1] < peaks[0] + 4 * 3  # a state is four arrays; two are kept, and one is at hand


def test_where_f_rounds_otherwise_the_steps_are_computed_again():
    """What cannot be computed backward, since f is not the same to the last bit, is found out and computed forward."""
    W, x, z0, g = drawn(0.9)
    draw = np.random.default_rng(2)

    def unsteady(z: Any, W: Any, x: Any) -> Any:
        return (1 + 2.3e-16 * draw.integers(2)) * cell(z, W, x)

    problem = FixedPointProblem(unsteady, W, x)
    solution = solve(problem, RevDEQ(), z0, rtol=0.0, atol=0.0, max_steps=15, on_failure="record")
    pulled = Reversible().pullback(problem, solution, g)
    assert pulled.solves[0].nfe > 30
    agree(pulled, through_the_steps(W, x, z0, g, reached(solution)))


def test_it_follows_the_iterate_that_was_returned():
    """Where the residual has risen since, the best iterate is returned, and the gradient is that of its steps."""
    W, x, z0, g = drawn(3.0)
    problem, solution = taken(16, W, x, z0)
    assert len(set(reached(solution))) > 1
    assert not (solution.state.z == solution.z).all()
    agree(Reversible().pullback(problem, solution, g), through_the_steps(W, x, z0, g, reached(solution)))


def test_further_derivatives_are_those_of_the_steps():
    """Tangents and products with the Hessian are those of autodiff through the loop, each sample with its steps."""
    W, x, z0, g = drawn(0.9)
    x[:2] *= 30.0
    steps = taken(100, W, x, z0, rtol=1e-3)[1].steps
    assert len(set(steps)) > 2

    def solved(at: Any) -> Any:
        W, x, z0 = at
        found = equilibrium(cell, z0, W, x, solver=RevDEQ(), batched_inputs=(False, True), rtol=1e-3, max_steps=100)
        return ops.sum(ops.multiply(ops.pow(found.z, 2), g))

    def looped(at: Any) -> Any:
        return ops.sum(ops.multiply(ops.pow(loop(*at, steps), 2), g))

    at, way = (W, x, z0), drawn(1.0, seed=1)[:3]
    assert jvp(solved, (at,), (way,))[1] == pytest.approx(jvp(looped, (at,), (way,))[1], rel=1e-12)
    products = (jvp(lambda at, f=f: value_and_grad(f)(at)[1], (at,), (way,))[1] for f in (solved, looped))
    for found, right in zip(*products, strict=True):
        np.testing.assert_allclose(found, right, rtol=0, atol=1e-12 * np.max(np.abs(right)))


def test_without_a_step_the_cotangent_is_that_of_the_guess():
    """After no step z is z0, and the inputs have no influence."""
    W, x, z0, g = drawn(0.9)
    problem, solution = taken(0, W, x, z0)
    pulled = Reversible().pullback(problem, solution, g)
    np.testing.assert_array_equal(pulled.start, g)
    assert not any(each.any() for each in pulled.inputs)


def test_samples_of_a_fallback_have_the_implicit_gradient():
    """They took none of these steps; the others' gradient is that of theirs, and a failed adjoint is a failure."""
    _, x, z0, g = drawn(0.5)
    slopes = np.array([[0.3], [-3.0], [0.2], [-4.0], [0.4]])
    problem = FixedPointProblem(lambda z, b: slopes * z + b, x)
    found = solve(problem, RevDEQ(), z0, fallback=(NewtonGMRES(),), rtol=1e-12, max_steps=80)
    assert found.attempt.tolist() == [0, 1, 0, 1, 0]
    pulled = Reversible().pullback(problem, found, g)
    np.testing.assert_allclose(pulled.inputs[0], g / (1 - slopes), rtol=1e-7)
    np.testing.assert_array_equal(np.any(pulled.start, axis=1), found.attempt == 0)
    assert len(pulled.solves) == 2
    assert not pulled.failed
    short = replace(found, options=replace(found.options, max_steps=0))
    assert Reversible().pullback(problem, short, g).failed


def test_on_any_array_library(xp: ModuleType):
    """Strict arrays give what NumPy's do, in float32 too."""
    for dtype in ("float64", "float32"):
        W, x, z0, g = drawn(0.9, dtype)
        problem, solution = taken(30, W, x, z0, xp)
        pulled = Reversible().pullback(problem, solution, lift(xp, g))
        agree(pulled, through_the_steps(W, x, z0, g, reached(solution)))


def test_without_a_batch_axis():
    """An unbatched solve has an unbatched pullback, that of a batch of one."""
    W, x, z0, g = drawn(0.9)
    limits: dict[str, Any] = {"rtol": 0.0, "max_steps": 6, "on_failure": "record"}
    problem = FixedPointProblem(lambda z, W, x: cell(z[None, :], W, x)[0, :], W, x[0])
    solution = solve(problem, RevDEQ(), z0[0], batched=False, **limits)
    pulled = Reversible().pullback(problem, solution, g[0])
    assert pulled.start.shape == (SIZE,)
    in_batch = Reversible().pullback(*taken(6, W, x[:1], z0[:1]), g[:1])
    np.testing.assert_allclose(pulled.start, in_batch.start[0], rtol=1e-12)
    np.testing.assert_allclose(pulled.inputs[0], in_batch.inputs[0], rtol=1e-12, atol=1e-15)


def test_a_model_trains_through_its_own_steps():
    """`DeepEquilibrium` takes it for revdeq by default, and parameters of the initial guess have a gradient."""
    model = InjectedCell(Dense(3, 4), Dense(4, 4), Chain(ops.tanh))
    options = SolveOptions(rtol=0.0, atol=0.0, max_steps=5, on_failure="record")
    deq = DeepEquilibrium(model, RevDEQ(), LayerGuess(Dense(3, 4)), options=options)
    assert deq.adjoint() == Reversible()
    params = deq.init(np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((6, 3)).astype(np.float32)

    def loss(params: Any, solved: bool) -> Any:
        record = deq(params, x)
        y = z = record.z0
        u = model.inject(params["cell"], x)
        for _ in range(0 if solved else 5):
            y = 0.25 * y + 0.75 * model.step(params["cell"], z, u)
            z = 0.25 * z + 0.75 * model.step(params["cell"], y, u)
        return ops.mean(ops.pow(record.z if solved else z, 2))

    found, expected = (value_and_grad(lambda p, s=s: loss(p, s))(params)[1] for s in (True, False))
    assert not any(np.array_equal(each, 0 * each) for each in tree_leaves(found["initial_guess"]))
    for one, other in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.max(np.abs(other)))


def test_other_solvers_are_refused():
    """After another solver the error names it and says what to choose."""
    W, x, z0, g = drawn(0.5)
    problem = FixedPointProblem(cell, W, x)
    with pytest.raises(NoStepsError, match=r"solver was Picard\(damping=0.0\); choose that one, or .* implicit"):
        Reversible().pullback(problem, solve(problem, Picard(), z0), g)


@pytest.mark.skipif("EQUILIB_DATA_DIR" not in os.environ, reason="EQUILIB_DATA_DIR names no data")
def test_the_tutorial_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`equilib run mnist --solver revdeq` learns from 100 digits, and says that it differentiates the steps."""
    quick = [
        "--limit",
        "100",
        "--epochs",
        "2",
        "--pretrain-epochs",
        "0",
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "run"),
    ]
    assert main(["run", "mnist", "--recipe", "tutorial", "--solver", "revdeq", *quick]) == 0
    said = capsys.readouterr().out
    assert "Adjoint: reversible (checkpoints=2): an approximate gradient" in said
    assert Status.NONFINITE.value not in said
