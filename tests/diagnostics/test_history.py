"""Residual histories: every evaluation counts, and nothing is forgotten."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from equilib import Picard, SolveOptions
from equilib.diagnostics.history import residual_history
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import lift
from tests.problems import EXPANSIVE, TANH

OPTIONS = SolveOptions(rtol=1e-8, on_failure="record")


def test_picard_iteration_has_its_trace_for_history(xp: ModuleType) -> None:
    """A solver that evaluates f once a step shows the residuals of its trace, one evaluation each."""
    found = residual_history(TANH.problem(xp), Picard(), lift(xp, TANH.z0), OPTIONS)
    np.testing.assert_array_equal(found.cost, np.arange(1, found.solution.nfe + 1))
    np.testing.assert_allclose(found.residual[0], found.solution.trace[0])
    last = np.argmax(found.solution.steps)  # the others are iterated on while it is at work
    np.testing.assert_allclose(found.residual[-1, last], found.solution.residual_norm[last])


def test_products_cost_as_much_as_evaluations() -> None:
    """Newton's products with J are on the bill, and the last entry is all that was spent by then."""
    found = residual_history(TANH.problem(), NewtonGMRES(), TANH.z0, OPTIONS)
    assert found.solution.njvp > 0
    assert found.cost[-1] <= found.solution.nfe + found.solution.njvp
    assert found.cost[-1] >= found.solution.nfe
    assert len(found.cost) == found.solution.nfe
    assert found.solution.success


def test_the_best_residual_never_grows_and_nan_is_no_residual() -> None:
    """Where the iteration diverges the smallest residual stays; without a finite one it is infinite."""
    found = residual_history(EXPANSIVE.poisoned(1).problem(), Picard(), EXPANSIVE.z0, OPTIONS)
    others = [0, 2, 3, 4]
    assert len(found.cost) > 3
    assert np.isinf(found.residual[:, 1]).all()
    np.testing.assert_array_equal(found.residual[-1, others], found.solution.trace.min(axis=0)[others])
