"""The conformance kit for authors of plugins: named checks, each with the reason why it must hold.

    import pytest
    from equilib.testing import solver_checks

    @pytest.mark.parametrize("check", solver_checks(MySolver()), ids=str)
    def test_my_solver(check):
        check()

A check raises AssertionError with the evidence, and `unittest.SkipTest` where it cannot be made. Nothing here needs
pytest; `equilib check NAME` runs the same checks on what is installed.
"""

from equilib.testing.check import Check, Outcome, run_checks
from equilib.testing.kit import (
    dataset_checks,
    integrator_checks,
    kernel_checks,
    linear_solver_checks,
    ode_sensitivity_checks,
    optimizer_checks,
    sensitivity_checks,
    solver_checks,
)

__all__ = [
    "Check",
    "Outcome",
    "dataset_checks",
    "integrator_checks",
    "kernel_checks",
    "linear_solver_checks",
    "ode_sensitivity_checks",
    "optimizer_checks",
    "run_checks",
    "sensitivity_checks",
    "solver_checks",
]
