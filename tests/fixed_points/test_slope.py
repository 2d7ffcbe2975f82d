"""Leaps and plateaus: where the last step says nothing of the slope, it is looked for, for every installed solver."""

from __future__ import annotations

import autograd.numpy as anp
import numpy as np
import pytest

from equilib import Evaluator, FixedPointProblem, Picard, State, solve
from equilib.arrays import Array
from tests.fixed_points.test_truth import Leap, Map, attempt, every_solver


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(−z))."""
    return 1 / (1 + anp.exp(-z))


def kink(z: Array) -> Array:
    """Return max(z + 1, 0), which is zero on a half line."""
    return anp.maximum(z + 1, 0 * z)


@every_solver
@pytest.mark.parametrize("start", [2.2, 3.0, 5.0, 10.0, -3.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "f", [lambda z: z + sigmoid(z), lambda z: z - 100 * sigmoid(z)], ids=["slowly away", "in one step"]
)
def test_a_function_that_only_underflows_has_no_zero(solver: object, start: float, dtype: type, f: Map) -> None:
    """The residual is exactly zero where a leap ends, and nothing changes around it: no equation was solved."""
    assert not attempt(f, solver, np.full((1, 1), start, dtype)).success


@every_solver
@pytest.mark.parametrize("start", [-3.0, 5.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("share", [0.5, 1.0], ids=["half way", "to the edge"])
def test_a_plateau_with_an_edge_is_a_set_of_fixed_points(
    solver: object, start: float, dtype: type, share: float
) -> None:
    """Gradient steps of a hinge: all z ≤ −1 are fixed points, and whoever comes there has solved it."""
    found = attempt(lambda z: z - dtype(share) * kink(z), solver, np.full((1, 1), start, dtype))
    assert found.success
    assert float(found.z[0, 0]) <= -1 + 3e-3


def test_a_plateau_may_be_leapt_into() -> None:
    """A step over the edge ends on the plateau: the edge is found on the way back."""
    found = attempt(lambda z: z - 2 * kink(z), Picard(), [[5.0]])
    assert found.success
    assert float(found.z[0, 0]) == -7.0


def test_a_leap_asks_once_for_the_slope() -> None:
    """Where f contracts at the end of a long step the claim costs one evaluation, and a short step none."""
    counted = [attempt(lambda z, goal=goal: 0 * z + goal, Picard(), [[1.0]]).nfe for goal in (5.0, 1.05)]
    assert counted == [3, 2]


def test_a_tiny_residual_without_a_resolved_slope_is_no_evidence() -> None:
    """In float32 z − z³/3 equals z long before its degenerate root: not even a residual of zero tells the distance."""

    class Near(Leap):
        def step(self, f: Evaluator, state: State) -> State:
            z = 0.5 * state.z
            return State(z, f.residual(z))

    found = attempt(lambda z: z - z**3 / 3, Near(), np.full((1, 1), 0.5, np.float32), max_steps=40)
    assert not found.success or abs(float(found.z[0, 0])) < 1e-9


@pytest.mark.parametrize("solver", ["scipy:hybr", "scipy:anderson", "scipy:lm", "scipy:rk45"])
@pytest.mark.parametrize(
    ("f", "start"),
    [(lambda z: z - 0.4 * z**3, 1.1), (lambda z: z + 1.5 * np.exp(-z), -0.4)],
    ids=["degenerate root", "no fixed point"],
)
def test_a_method_with_its_own_loop_is_asked_for_the_slope_where_it_ended(solver: str, f: Map, start: float) -> None:
    """The secant from its beginning to its end would tell a distance much too small."""
    from equilib.plugin import SolverEntry
    from equilib.plugin.choosing import build_named
    from equilib.plugin.registry import Registry

    part = build_named(Registry.discover(), SolverEntry, solver).part
    problem = FixedPointProblem(f, jvp=lambda z, v: (f(z + 1e-20j * v)).imag / 1e-20)
    assert not solve(problem, part, np.full((1, 1), start), on_failure="record").success
