from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, Status, solve
from equilib.options import OptionError
from equilib_pseudo_transient.solver import PseudoTransient
from tests.plugins.solver_laws import SolverLaws, solve_map
from tests.problems import EXPANSIVE, LINEAR, ROTATION, SIZE, TANH, KnownMap


class TestPseudoTransient(SolverLaws):
    """The laws of every solver."""

    solver = PseudoTransient()
    derivatives = ("jvp",)


@pytest.mark.parametrize("known", [LINEAR, TANH, ROTATION], ids=str)
@pytest.mark.parametrize("time_step", [0.1, 10.0])
def test_a_step_is_implicit_euler_on_the_flow(known: KnownMap, time_step: float):
    """The first step solves (I/τ + I − J) d = f(z) − z: its sign is that of the flow z' = f(z) − z."""
    solution = solve_map(known, PseudoTransient(time_step, forcing=1e-12), max_steps=1, rtol=0.0)
    d = solution.state.z - known.z0
    left = (1 / time_step + 1) * d - known.jvp(known.z0, d, known.bias)
    np.testing.assert_allclose(left, known.f(known.z0, known.bias) - known.z0, rtol=1e-9, atol=1e-12)


def test_small_time_steps_follow_the_flow():
    """With τ → 0 a step is explicit Euler, z + τ (f(z) − z)."""
    solution = solve_map(TANH, PseudoTransient(1e-6, forcing=1e-12), max_steps=1, rtol=0.0)
    flow = TANH.f(TANH.z0, TANH.bias) - TANH.z0
    np.testing.assert_allclose(solution.state.z - TANH.z0, 1e-6 * flow, rtol=1e-5)


def test_time_steps_follow_the_residual():
    """τ grows by the factor by which ‖F‖ fell: switched evolution relaxation, for each sample."""
    solution = solve_map(TANH, PseudoTransient(0.5), max_steps=4, rtol=0.0, atol=0.0, norm="two")
    np.testing.assert_allclose(solution.state.time_step, 0.5 * solution.trace[0] / solution.trace[-1], rtol=1e-12)


def test_it_ends_like_newtons_method():
    """On a linear map residuals fall superlinearly."""
    trace = solve_map(LINEAR, PseudoTransient(forcing=1e-10), rtol=0.0, atol=1e-10, norm="two").trace
    ratios = trace[1:] / trace[:-1]
    falling = trace[:-1] > 1e-3
    assert np.all(np.diff(np.where(falling, ratios, 0.0), axis=0)[falling[1:]] < 0)
    assert np.min(ratios) < 1e-3


def test_it_finds_the_fixed_point_that_the_flow_runs_into():
    """Of the fixed points of 3 tanh z it finds the stable ones, from either side, and never the unstable 0 between."""
    problem = FixedPointProblem(lambda z: 3 * np.tanh(z), jvp=lambda z, v: 3 * (1 - np.tanh(z) ** 2) * v)
    z0 = np.array([[0.5], [-0.5], [5.0]])
    solution = solve(problem, PseudoTransient(0.5), z0, rtol=1e-9, max_steps=100)
    np.testing.assert_allclose(solution.z, 2.9847045853578868 * np.array([[1.0], [-1.0], [1.0]]), rtol=1e-6)


def test_a_step_beyond_the_domain_is_taken_back():
    """Where a step leads to nan or far up, τ is a tenth and the iterate stays, in that sample only."""

    def f(z: Any) -> Any:
        return z - np.log(z)  # the flow z' = −log z runs into 1; a long step from 4 ends below zero

    problem = FixedPointProblem(f, jvp=lambda z, v: (1 - 1 / z) * v)
    z0 = np.array([[4.0], [1.5]])
    one = solve(problem, PseudoTransient(100.0), z0, rtol=1e-9, max_steps=1, on_failure="record")
    assert one.state.z[0] == 4.0
    assert one.state.time_step[0] == 10.0
    assert one.state.z[1] != 1.5
    solution = solve(problem, PseudoTransient(100.0), z0, rtol=1e-9)
    np.testing.assert_allclose(solution.z, 1.0, rtol=1e-7)


def test_a_sample_whose_every_step_fails_stalls():
    """After `rejections` steps taken back in a row the sample is given up."""
    problem = FixedPointProblem(lambda z: np.where(z == 0, 1.0, np.nan) + z, jvp=lambda z, v: 0.5 * np.ones_like(z) * v)
    solution = solve(problem, PseudoTransient(rejections=3), np.zeros((2, 1)), on_failure="record")
    assert set(solution.status) == {Status.STALLED}
    assert solution.steps.tolist() == [4, 4]
    assert solution.residual_norm.tolist() == [1.0, 1.0]


def test_an_expansive_map_takes_few_products():
    """GMRES gets at most as many products a step as there are elements."""
    solution = solve_map(EXPANSIVE, PseudoTransient(), rtol=1e-8)
    assert solution.njvp <= (SIZE + 1) * max(solution.steps)


@pytest.mark.parametrize("options", [{"time_step": 0.0}, {"linear_solver": 3}, {"forcing": 1.0}, {"rejections": 0}])
def test_options_out_of_range_are_refused(options: dict[str, Any]):
    """An option that makes no sense is named."""
    with pytest.raises(OptionError, match=next(iter(options))):
        PseudoTransient(**options)
