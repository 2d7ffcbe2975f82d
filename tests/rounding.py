"""What rounding decides of a solve: NumPy's, beside those of maps that differ from its map in the last digits.

Libraries and kernels add in different orders and precisions, so a solve that is to be the same on all can be held to no
more than this: what stays the same where inputs move by a few units in the last place is the same, the rest moves no
further than it does there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from equilib import Solution, Solver, Status, solve
from tests.arrays_under_test import lower
from tests.problems import KnownMap

MOVED = 16
"""Inputs move by so many units in the last place at most: several times what an operation rounds off."""

TIMES = 8
"""So many times the inputs move."""


@dataclass(frozen=True)
class Spread:
    """NumPy's solve, and what rounding makes of it.

    `least` and `most` are the steps of each sample among all solves, shape (batch,); `apart` is how far its iterates go
    from NumPy's, in units of `scale`, the size of each component in the batch.
    """

    solution: Solution
    least: np.ndarray
    most: np.ndarray
    apart: np.ndarray
    scale: np.ndarray

    def distance(self, z: np.ndarray) -> np.ndarray:
        """Return how far iterates, shape (batch, size), are from NumPy's, shape (batch,)."""
        return np.max(np.abs(z - self.solution.z.astype(np.float64)) / self.scale, axis=1)


@lru_cache(maxsize=100)
def spread(known: KnownMap, solver: Solver, dtype: str, by_hand: bool, options: tuple[tuple[str, Any], ...]) -> Spread:
    """Solve a map on NumPy's arrays, as it is and with biases that move by rounding."""

    def solved(each: KnownMap) -> Solution:
        return solve(each.problem(by_hand=by_hand, dtype=dtype), solver, each.z0.astype(dtype), **dict(options))

    rng, unit = np.random.default_rng(3), float(np.finfo(dtype).eps)
    factors = 1 + MOVED * unit * rng.uniform(-1, 1, (TIMES, *known.bias.shape))
    expected, moved = solved(known), [solved(known.biased(known.bias * factor)) for factor in factors]
    assert {each.status for each in moved} == {expected.status}, "rounding decides how the solve ends: try another"
    steps = np.array([each.steps for each in (expected, *moved)])
    alone = Spread(expected, steps.min(axis=0), steps.max(axis=0), np.zeros(steps.shape[1]), scale_of(expected.z))
    return replace(alone, apart=np.max([alone.distance(each.z) for each in moved], axis=0))


def scale_of(z: np.ndarray) -> np.ndarray:
    """Return the largest of each component in a batch (batch, size), to which its rounding is relative."""
    return np.max(np.abs(z.astype(np.float64)), axis=0)


def check_same_but_for_rounding(
    known: KnownMap, solver: Solver, solution: Solution, *, by_hand: bool = True, **options: Any
) -> None:
    """Check that a solve of a map on another library's arrays is NumPy's, but for rounding.

    Statuses are equal. So are steps where rounding does not change them, and iterates differ by twice what moved inputs
    make of them, and by `MOVED` units in the last place, at most. Where it does, steps are those that it makes of them,
    give or take their range again. Counts of evaluations are equal where all steps are. Whatever has converged has the
    residual that was asked for, as float64 knows it.
    """
    z = np.asarray(lower(solution.z))
    dtype = str(z.dtype)
    found = spread(known, solver, dtype, by_hand, tuple(sorted(options.items())))
    expected, wide = found.solution, found.most - found.least
    assert solution.status == expected.status
    assert np.all(solution.steps >= found.least - wide), (solution.steps, found.least)
    assert np.all(solution.steps <= found.most + wide), (solution.steps, found.most)
    bound = 2 * found.apart + MOVED * float(np.finfo(dtype).eps)
    np.testing.assert_array_less(np.where(wide == 0, found.distance(z), 0.0), bound)
    if np.array_equal(solution.steps, expected.steps):
        counts = ("nfe", "njvp", "nvjp")
        assert [getattr(solution, name) for name in counts] == [getattr(expected, name) for name in counts]
    check_residuals(known, solution, z.astype(np.float64), options["rtol"])


def check_residuals(known: KnownMap, solution: Solution, z: np.ndarray, rtol: float) -> None:
    """Check that ‖f(z) − z‖, in float64, is what was asked for where a sample has converged, and its rounding."""
    converged = np.array([status is Status.CONVERGED for status in solution.status])
    unit = float(np.finfo(str(lower(solution.z).dtype)).eps)
    left = np.linalg.norm(known.f(z, known.bias) - z, axis=1)
    size = np.linalg.norm(known.f(z, known.bias), axis=1) + np.linalg.norm(z, axis=1)
    assert np.all(left[converged] <= (rtol * np.linalg.norm(z, axis=1) + MOVED * unit * size)[converged]), left
