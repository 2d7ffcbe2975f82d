"""The solver keeps its contract: one test for each law. Run it with `pytest`."""

import pytest
from equilib_relaxation.solver import Relaxation

from equilib.testing import solver_checks


@pytest.mark.parametrize("check", solver_checks(Relaxation()), ids=str)
def test_the_solver_keeps_its_contract(check):
    """A check raises AssertionError with the evidence."""
    check()
