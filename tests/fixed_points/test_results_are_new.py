"""Whose memory a result is: nobody else's, so that it may be changed in place."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import fixed_point, solve
from tests.arrays_under_test import lift, lower
from tests.installed import solvers

CONSTANT = np.zeros((3, 2))

MAPS = {
    "half, from its fixed point": (lambda z: 0.5 * z, np.zeros((3, 2))),
    "every z is fixed": (lambda z: z, np.ones((3, 2))),
    "an array of one's own": (lambda z: CONSTANT, np.zeros((3, 2))),
    "an array of one's own, from elsewhere": (lambda z: CONSTANT, np.ones((3, 2))),
    "nothing is better": (lambda z: z * np.inf, np.ones((3, 2))),
}


@pytest.mark.parametrize("tree", [False, True])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("solver", solvers())
def test_a_fixed_point_shares_no_memory_with_what_was_given(solver: Any, name: str, *, batched: bool, tree: bool):
    """Also where the guess is the answer, or no step is better: changing the result in place changes nothing else."""
    of_array, z0 = MAPS[name]
    f = (lambda z: {"z": of_array(z["z"])}) if tree else of_array
    options = {"batched": batched, "max_steps": 3, "on_failure": "record"}
    start = {"z": z0} if tree else z0
    given = z0.copy(), CONSTANT.copy()
    for found in (
        fixed_point(f, start, solver=solver, **options),
        solve(f, solver, start, **options).z,
        solve(f, solver, start, fallback=("picard",), **options).z,
    ):
        z = found["z"] if tree else found
        assert not np.may_share_memory(z, z0)
        z += 1
    np.testing.assert_array_equal(z0, given[0])
    np.testing.assert_array_equal(CONSTANT, given[1])


def test_neither_with_other_libraries(xp: ModuleType):
    """The result is another array than the guess, on every library."""
    z0 = lift(xp, np.zeros((3, 2)))
    assert fixed_point(lambda z: 0.5 * z, z0) is not z0
    if hasattr(z0, "__setitem__"):
        z = fixed_point(lambda z: 0.5 * z, z0)
        z[...] = 1.0
        assert not lower(z0).any()
