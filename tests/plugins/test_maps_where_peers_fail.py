"""Six maps on which solvers of other libraries fail or mislead: the right answer or the right status, from all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import Solution, Status
from equilib.plugin import SolverEntry
from equilib.plugin.choosing import build_named
from equilib.plugin.registry import Registry
from tests.arrays_under_test import NAMESPACES, OTHERS, lower
from tests.plugins.solver_laws import solve_map
from tests.problems import (
    BADLY_SCALED,
    EXPANSIVE,
    MIXED,
    NO_FIXED_POINT,
    ROTATION,
    STEEP,
    TANH,
    KnownMap,
)

REGISTRY = Registry.discover()
ENTRIES = {each.entry.name: each.entry for each in REGISTRY.provided(SolverEntry)}

FAST_ON_ROTATIONS = {
    *("anderson", "auto", "broyden", "lbroyden", "newton-dense", "newton-gmres", "pseudo-transient"),
    *("scipy:broyden1", "scipy:broyden2", "scipy:hybr", "scipy:krylov", "scipy:lm"),
}
"""Those with a memory or a derivative; of the others a rotation by 0.95 takes hundreds of evaluations."""

DAMPED = {"picard", "revdeq", "scipy:linearmixing", "scipy:excitingmixing"}
"""Those that need thousands of evaluations where the Jacobian is near 1."""


def _case(name: str) -> Any:
    reason = ENTRIES[name].unavailable
    return pytest.param(name, id=name, marks=[pytest.mark.skip(reason=f"{name}: {reason}")] if reason else [])


every_solver = pytest.mark.parametrize("name", [_case(name) for name in ENTRIES])


def solved(name: str, known: KnownMap, **options: Any) -> Solution:
    """Solve with the default options of the solver."""
    solver = build_named(REGISTRY, SolverEntry, name).part
    return solve_map(known, solver, **{"rtol": 1e-8, "max_steps": 600, **options})


def error(known: KnownMap, solution: Solution) -> np.ndarray:
    """Return the largest error of each sample, relative to the sizes of its components over the batch."""
    assert known.solution is not None
    scale = np.max(np.abs(known.solution), axis=0)
    return np.max(np.abs(solution.z - known.solution) / scale, axis=1)


@every_solver
def test_a_rotation(name: str):
    """Shrinking by 0.95 while it turns, it is solved by all; fast by those that remember or differentiate."""
    solution = solved(name, ROTATION)
    assert solution.success, solution
    assert np.all(error(ROTATION, solution) < 1e-6)
    assert (solution.nfe + solution.njvp < 50) == (name in FAST_ON_ROTATIONS), solution
    assert name != "picard" or solution.nfe > 300


@every_solver
def test_an_expansive_map_with_regular_jacobian(name: str):
    """With J near −3.5 Picard iteration and the relaxation of revdeq diverge, and say so; all others solve it."""
    solution = solved(name, EXPANSIVE)
    if name in ("picard", "revdeq"):
        assert set(solution.status) == {Status.DIVERGED}
        return
    assert solution.success, solution
    assert np.all(error(EXPANSIVE, solution) < 1e-6)


@every_solver
def test_one_sample_of_nan(name: str):
    """It is non-finite, and the others are right."""
    solution = solved(name, TANH.poisoned(3))
    assert [i for i, status in enumerate(solution.status) if status is Status.NONFINITE] == [3]
    assert solution.converged.sum() == 4
    assert np.all(error(TANH, solution)[solution.converged] < 1e-6)


@every_solver
def test_easy_and_hard_samples(name: str):
    """Easy samples converge beside hard ones, to what they are alone; hard ones too, or they ran out of steps."""
    solution = solved(name, MIXED, max_steps=400)
    assert solution.converged[:3].all(), solution
    assert np.all(error(MIXED, solution)[solution.converged] < 1e-5)
    assert solution.success == (name not in DAMPED), solution
    assert set(solution.status) <= {Status.CONVERGED, Status.MAX_STEPS}
    for i in (0, 4):
        alone = solved(name, MIXED.rows([i]), max_steps=400)
        assert alone.status[0] is solution.status[i]
        if ENTRIES[name].capabilities.couples_samples:
            np.testing.assert_allclose(alone.z[0], solution.z[i], rtol=1e-7)
        else:
            np.testing.assert_array_equal(alone.z[0], solution.z[i])


@every_solver
def test_no_fixed_point(name: str):
    """On z ↦ z + 1 a solver ends with a finite iterate and without success."""
    # Whoever runs away meets any tolerance that is relative to z.
    solution = solved(name, NO_FIXED_POINT, rtol=0.0, atol=1e-8, max_steps=60)
    assert set(solution.status) <= {Status.STALLED, Status.MAX_STEPS, Status.DIVERGED}
    assert np.isfinite(solution.z).all()


@every_solver
def test_a_badly_scaled_state(name: str):
    """With a tight tolerance components of size 1e-3 are right to five digits beside some of size 1e2."""
    solution = solved(name, BADLY_SCALED, rtol=1e-12)
    assert solution.success, solution
    assert np.all(error(BADLY_SCALED, solution) < 1e-5)


@every_solver
@pytest.mark.parametrize("known", [STEEP, EXPANSIVE, MIXED], ids=str)
@pytest.mark.parametrize("library", OTHERS)
def test_every_array_library_gives_the_same_answers(name: str, known: KnownMap, library: str):
    """Also where a solver has to restart, to change its method or to give up: statuses are equal, answers agree."""
    expected, solution = (
        solved(name, known, xp=NAMESPACES[each], rtol=1e-6, max_steps=40) for each in ("numpy", library)
    )
    assert solution.status == expected.status
    np.testing.assert_array_equal(solution.steps, expected.steps)
    close = 1e-5 * (1 + np.max(np.abs(expected.z)))
    np.testing.assert_allclose(lower(solution.z), expected.z, rtol=0, atol=close)
