"""The non-stiff DETEST problems: the error is as good as SciPy's at equal tolerance, and follows the tolerance."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from benchmarks.detest import HIGH_ORDER, LOW_ORDER, Figure, figures
from benchmarks.detest_problems import PROBLEMS, solve_by_scipy

SUBSET = ["A1", "A3", "A5", "B3", "B5", "C1", "D1", "E1"]
METHODS = HIGH_ORDER | LOW_ORDER


@cache
def table(tolerance: float) -> dict[str, list[Figure]]:
    """Return the figures on the problems of `SUBSET` by method, SciPy's RK45 among them."""
    chosen = [problem for problem in PROBLEMS if problem.name in SUBSET]
    columns = zip(*(figures(problem, METHODS, tolerance) for problem in chosen), strict=True)
    return dict(zip([*METHODS, "scipy"], map(list, columns), strict=True))


def errors(tolerance: float) -> dict[str, np.ndarray]:
    """Return the errors of `table`."""
    return {name: np.array([figure.largest for figure in column]) for name, column in table(tolerance).items()}


@pytest.mark.parametrize(("name", "share"), [("tsit5", 1.0), ("dopri5", 1.0), ("vcabm", 0.7)])
def test_evaluations_are_no_more_than_scipys(name: str, share: float) -> None:
    """At equal tolerance methods of order 5 spend what RK45 does in the median, the Adams method 0.7 of it."""
    found = table(1e-5)
    costs = [ours.nfe / theirs.nfe for ours, theirs in zip(found[name], found["scipy"], strict=True)]
    assert np.median(costs) <= share


@pytest.mark.parametrize("name", METHODS)
def test_errors_are_within_a_factor_of_ten_of_scipys(name: str) -> None:
    """No method is ever ten times worse than RK45 at the same tolerance, and those of order 5 are mostly better."""
    ratio = errors(1e-5)[name] / errors(1e-5)["scipy"]
    assert ratio.max() < 10
    assert np.median(ratio) < (1 if name in ("tsit5", "dopri5") else 3)


@pytest.mark.parametrize("name", METHODS)
def test_errors_are_proportional_to_the_tolerance(name: str) -> None:
    """A hundredth of the tolerance gives, on the geometric mean over the problems, about a hundredth of the error."""
    decades = np.mean(np.log10(errors(1e-3)[name] / errors(1e-5)[name]))
    assert 1.4 < decades < 2.6


def test_the_problems_are_the_published_ones() -> None:
    """Solutions that are known in closed form are met: A1, A2, A3, A4 and C1's first nuclide."""
    closed = {
        "A1": np.exp(-20),
        "A2": 1 / np.sqrt(21),
        "A3": np.exp(np.sin(20)),
        "A4": 20 / (1 + 19 * np.exp(-5)),
        "C1": np.exp(-20),
    }
    for problem in PROBLEMS:
        if problem.name in closed:
            assert solve_by_scipy(problem, "DOP853", 1e-12, 1e-14)[0][-1, 0] == pytest.approx(
                closed[problem.name], rel=1e-6
            )
