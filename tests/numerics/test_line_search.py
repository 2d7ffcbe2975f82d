from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from equilib import FixedPointProblem
from equilib.fixed_points.evaluator import Counts, Evaluator
from equilib.numerics.line_search import NewtonPoint, line_search, next_length, sufficient_decrease
from tests.arrays_under_test import lift, lower


def test_sufficient_decrease_by_formula():
    """‖r(z + λd)‖ ≤ (1 − 10⁻⁴ λ (1 − η)) ‖r(z)‖, and nan is not a decrease."""
    length, forcing, before = np.full(4, 0.5), np.full(4, 0.2), np.full(4, 3.0)
    edge = (1 - 1e-4 * 0.5 * 0.8) * 3.0
    norm = np.array([edge * (1 - 1e-12), edge * (1 + 1e-12), np.nan, np.inf])
    assert sufficient_decrease(norm, before, length, forcing).tolist() == [True, False, False, False]


@pytest.mark.parametrize("length", [1.0, 0.25])
def test_the_next_length_is_the_minimum_of_the_parabola(length: float):
    """Of the parabola with ‖r‖² at 0 and λ and the slope −2(1 − η)‖r‖² at 0, between a tenth and a half of λ."""
    before, forcing = 2.0, 0.1
    for norm in (2.1, 2.5, 4.0, 9.0, 1e3, np.nan, np.inf):
        found = next_length(np.array([norm]), np.array([before]), np.array([length]), np.array([forcing]))[0]
        slope = -2 * (1 - forcing) * before**2
        if np.isfinite(norm):
            rows = np.array([[length**2, length, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
            a, b, _ = np.linalg.solve(rows, [norm**2, slope, before**2])
            expected = np.clip(-b / (2 * a), 0.1 * length, 0.5 * length)
        else:
            expected = 0.1 * length
        assert found == pytest.approx(expected, rel=1e-12)


def searched(xp: ModuleType, **changes: object) -> tuple[NewtonPoint, np.ndarray, Counts]:
    """Search from z = 2 along d for f(z) = 1/z, d being good, too long, uphill, nan, and of no concern."""
    problem = FixedPointProblem(lambda z: 1 / z, jvp=lambda z, v: -v / z**2)
    z = lift(xp, np.full((5, 1), 2.0))
    f = Evaluator(problem, z, active=np.array([True, True, True, True, False]))
    point = NewtonPoint.at(f, z)
    direction = lift(xp, np.array([[-0.9], [-1.9999], [1.0], [np.nan], [5.0]]))
    options = {"forcing": np.zeros(5), "backtracks": 8, **changes}
    return *line_search(f, point, direction, **options), f.counts  # type: ignore[arg-type]


def test_a_step_is_shortened_until_the_residual_decreases(xp: ModuleType):
    """A good step is taken whole; one that is too long is shortened; without a decrease the sample stays in place."""
    with np.errstate(all="ignore"):
        point, rejected, counts = searched(xp)
    z = lower(point.z)[:, 0]
    assert rejected.tolist() == [False, False, True, True, False]
    assert z[0] == 2.0 - 0.9
    assert 2.0 - 1.9999 < z[1] < 2.0
    assert z[[2, 3]].tolist() == [2.0, 2.0]
    assert z[4] == 7.0, "a sample that is not active is not searched for"
    assert counts.nfe == 1 + 9 + 1
    np.testing.assert_allclose(lower(point.residual)[:, 0], 1 / z - z, rtol=1e-13)
    np.testing.assert_allclose(point.norm, np.abs(1 / z - z), rtol=1e-13)
    np.testing.assert_allclose(lower(point.linear.jvp(point.z))[:, 0], -1 / z, rtol=1e-13)


def test_without_backtracks_there_is_one_trial(xp: ModuleType):
    """With backtracks=0 a step is taken whole or not at all."""
    with np.errstate(all="ignore"):
        point, rejected, counts = searched(xp, backtracks=0)
    assert rejected.tolist() == [False, True, True, True, False]
    np.testing.assert_allclose(lower(point.z)[:, 0], [1.1, 2.0, 2.0, 2.0, 7.0])
    assert counts.nfe == 3
