"""Every part keeps its contract: one test for each law. Run it with `pytest`."""

import pytest
from equilib_relaxation.data import Stripes
from equilib_relaxation.linear_solver import Richardson
from equilib_relaxation.optimizer import SignMomentum
from equilib_relaxation.solver import Relaxation

from equilib.testing import dataset_checks, linear_solver_checks, optimizer_checks, solver_checks

CHECKS = {
    "solver": solver_checks(Relaxation()),
    "linear solver": linear_solver_checks(Richardson()),
    "optimizer": optimizer_checks(SignMomentum()),
    "data set": dataset_checks(Stripes()),
}


@pytest.mark.parametrize(
    "check", [pytest.param(check, id=f"{kind}-{check}") for kind, checks in CHECKS.items() for check in checks]
)
def test_the_part_keeps_its_contract(check):
    """A check raises AssertionError with the evidence."""
    check()
