"""Arrays of a solve: freed when the last name of them goes, not when the garbage collector comes by."""

from __future__ import annotations

import gc
from collections.abc import Callable

import numpy as np
import pytest

from equilib import FixedPointProblem, SolveOptions, ops, solve
from equilib.arrays import in_dtype
from equilib.autodiff import value_and_grad
from equilib.layers import Activation, Dense
from equilib.models import DeepEquilibrium, InjectedCell
from equilib.ode import integrate
from equilib_anderson.solver import Anderson
from equilib_ode.tsit5 import Tsit5
from tests.installed import solvers

BATCH, SIZE, RECORD = 12, 6, SolveOptions(on_failure="record")
OURS = [each for each in solvers() if not each.id.startswith(("scipy:", "sundials:"))]  # SciPy has circles of its own
C = np.random.default_rng(0).standard_normal((BATCH, SIZE))


def left_over(work: Callable[[], object]) -> list[str]:
    """Return the types of ours that `work`, done once before, leaves to the collector, which does not see arrays."""
    work()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        work()
        gc.collect()
        return [type(each).__name__ for each in gc.garbage if type(each).__module__.startswith("equilib")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("solver", OURS)
def test_a_solve_leaves_nothing_to_the_garbage_collector(solver: object) -> None:
    """What a solve held, its history above all, would stay for many batches: hundreds of megabytes."""

    def work() -> object:
        problem = FixedPointProblem(lambda z, c: ops.tanh(0.3 * z + c), C, batched_inputs=(True,))
        return solve(problem, solver, np.zeros((BATCH, SIZE)), RECORD)  # type: ignore[arg-type]

    assert not left_over(work)


def test_a_gradient_through_an_equilibrium_leaves_nothing_to_the_garbage_collector() -> None:
    """Nor does the tape of its backward pass."""
    cell = InjectedCell(Dense(SIZE, SIZE), Dense(SIZE, SIZE), Activation(ops.tanh))
    model = DeepEquilibrium(cell, Anderson(), options=RECORD)
    params = in_dtype(model.init(np.random.default_rng(0)), "float64")
    gradient = value_and_grad(lambda params: ops.sum(model(params, C).z))
    assert not left_over(lambda: gradient(params))


@pytest.mark.parametrize("dense", [False, True])
def test_an_integration_leaves_nothing_to_the_garbage_collector(dense: bool) -> None:
    """Nor does its trajectory, once its name is gone."""
    assert not left_over(lambda: integrate(lambda t, y: -y, C, np.array([0.0, 1.0]), Tsit5(), dense=dense))
