"""Unrolling with few iterates in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from math import comb
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, Picard, Pullback, Solution, SolveOptions, Status, Unrolled, ops, solve
from equilib.options import OptionError
from tests.arrays_under_test import lift, lower
from tests.problems import BADLY_SCALED, ROTATION, TANH, KnownMap

ROUGH = SolveOptions(rtol=1e-2, on_failure="record")


def pulled(known: KnownMap, unrolled: Unrolled, xp: ModuleType = np, dtype: str = "float64") -> tuple[Pullback, Any]:
    """Return what a pullback of ones gives, and the problem."""
    problem = known.problem(xp, by_hand=False, dtype=dtype)
    solution = solve(problem, Picard(), lift(xp, known.z0, dtype), ROUGH)
    return unrolled.pullback(problem, solution, xp.ones_like(solution.z)), problem


@pytest.mark.parametrize("checkpoints", [1, 2, 10, 100])
@pytest.mark.parametrize("depth", [1, 2, 7, 30])
@pytest.mark.parametrize("known", [TANH, ROTATION, BADLY_SCALED], ids=str)
def test_checkpoints_do_not_change_a_bit(known: KnownMap, depth: int, checkpoints: int, xp: ModuleType):
    """Cotangents and record are those of the loop that keeps everything, in both precisions."""
    for dtype in ("float64", "float32"):
        found, _ = pulled(known, Unrolled(depth, checkpoints), xp, dtype)
        whole, _ = pulled(known, Unrolled(depth, None), xp, dtype)
        np.testing.assert_array_equal(lower(found.inputs[0]), lower(whole.inputs[0]))
        np.testing.assert_array_equal(lower(found.start), lower(whole.start))
        np.testing.assert_array_equal(lower(found.solves[0].z), lower(whole.solves[0].z))
        np.testing.assert_array_equal(lower(found.solves[0].residual), lower(whole.solves[0].residual))
        assert found.solves[0].status == whole.solves[0].status


@pytest.mark.parametrize(("depth", "checkpoints", "repeats"), [(30, 10, 2), (5, 10, 1), (40, 3, 5), (6, 1, 5)])
def test_every_evaluation_is_counted(depth: int, checkpoints: int, repeats: int):
    """What is evaluated again is in nfe: r·n − β(s + 1, r − 1), and one for each linearization."""
    calls = 0

    def f(z: Any, b: Any) -> Any:
        nonlocal calls
        calls += 1
        return TANH.f(z, b)

    for unrolled, expected in (
        (Unrolled(depth, checkpoints), repeats * depth - comb(checkpoints + repeats, checkpoints + 1) + depth),
        (Unrolled(depth, None), depth),
    ):
        problem = FixedPointProblem(f, TANH.bias)
        solution = solve(problem, Picard(), TANH.z0, ROUGH)
        calls = 0
        adjoint = unrolled.pullback(problem, solution, np.ones_like(TANH.z0)).solves[0]
        assert adjoint is not None
        assert adjoint.nfe == calls == expected


def test_one_system_without_a_batch_axis():
    """With batched=False checkpoints change nothing either."""
    problem = FixedPointProblem(lambda z, b: ops.add(ops.multiply(ops.sin(z), 0.5), b), np.array([0.3, -2.0]))
    solution = solve(problem, Picard(), np.zeros(2), ROUGH, batched=False)
    few, all_ = (Unrolled(12, kept).pullback(problem, solution, np.ones(2)) for kept in (2, None))
    np.testing.assert_array_equal(few.inputs[0], all_.inputs[0])
    assert few.solves[0].z.shape == (2,)


def test_a_loop_that_overflows_says_so_from_checkpoints_too():
    """Where iterates leave the numbers the status is NONFINITE, without a warning from within."""
    squares = FixedPointProblem(lambda z, b: ops.add(ops.multiply(z, z), b), np.full((1, 1), -2.0))
    solution = solve(squares, Picard(), np.full((1, 1), 3.0), ROUGH)
    adjoint = Unrolled(30, 3).pullback(squares, solution, np.ones((1, 1))).solves[0]
    assert adjoint is not None
    assert adjoint.status == (Status.NONFINITE,)


def peak_of(action: Callable[[], object]) -> int:
    """Return the most bytes allocated at a time while `action` runs."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_depth():
    """With checkpoints the peak at 200 iterations is that at 20, give or take an iterate; without, it is ten times."""
    weight = np.linalg.qr(np.random.default_rng(0).standard_normal((50, 50)))[0]

    def f(z: Any, b: Any) -> Any:
        return ops.tanh(ops.add(ops.multiply(ops.sin(ops.matmul(z, weight)), 0.9), b))

    def peak(depth: int, checkpoints: int | None) -> int:
        problem = FixedPointProblem(f, np.ones((200, 50)))
        solution: Solution = solve(problem, Picard(), np.zeros((200, 50)), ROUGH, max_steps=1)
        return peak_of(lambda: Unrolled(depth, checkpoints).pullback(problem, solution, np.ones((200, 50))))

    assert peak(200, 10) < 1.1 * peak(20, 10)
    assert peak(200, None) > 8 * peak(20, None)
    assert peak(20, 10) < 0.5 * peak(20, None)
    assert peak(20, 1) < 1.6 * peak(1, 1)  # one step is linearized at a time


def test_checkpoints_are_positive():
    """Without an iterate to start from there is no way back."""
    with pytest.raises(OptionError, match="option 'checkpoints' expects an int >= 1 or none, got 0"):
        Unrolled(checkpoints=0)
