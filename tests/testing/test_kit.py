"""The conformance kit: sound plugins pass, and each way to break the contract is found by the check for it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest

from equilib import ImplicitAdjoint, Picard
from equilib.testing import Check, integrator_checks, run_checks, sensitivity_checks, solver_checks
from equilib_newton_gmres.solver import NewtonGMRES
from tests import broken_others, broken_solvers
from tests.broken_others import INTEGRATORS, SENSITIVITIES
from tests.broken_solvers import BROKEN


def failing(checks: list[Check]) -> set[str]:
    """Return the names of the checks that fail; each must say why."""
    outcomes = [outcome for outcome in run_checks(checks) if outcome.status == "failed"]
    assert all(outcome.evidence for outcome in outcomes)
    return {outcome.check.name for outcome in outcomes}


def name_of(value: Any) -> str:
    """Return the class's name as the id of a test."""
    return "" if isinstance(value, set) else type(value).__name__


@pytest.mark.parametrize("check", solver_checks(Picard(), needs=()), ids=str)
def test_the_documented_use_with_pytest(check: Check):
    """A list of checks parametrizes a test, which calls them."""
    check()


@pytest.mark.parametrize(
    ("solver", "declared"),
    [
        (Picard(damping=0.3), {}),
        (NewtonGMRES(), {"needs": ("jvp",)}),
        (broken_solvers.Sound(), {}),
        (broken_solvers.WholePicard(), {}),
        (broken_solvers.Coupling(), {"couples_samples": True}),
        (broken_solvers.WrongAdjoint(), {"exact": False}),
        (broken_solvers.WrongAdjoint(), {"sensitivity": ImplicitAdjoint()}),
        (broken_solvers.NumPyOnly(), {"backends": ("numpy",)}),
        (Picard(), {"backends": ("numpy", "cupy")}),
    ],
    ids=name_of,
)
def test_what_is_declared_is_allowed(solver: Any, declared: dict[str, Any]):
    """Sound solvers pass, iterative or whole, and so do those whose author says what is special about them."""
    assert failing(solver_checks(solver, **declared)) == set()


@pytest.mark.parametrize(("solver", "expected"), BROKEN, ids=name_of)
def test_a_broken_solver_fails_the_checks_of_that_law(solver: Any, expected: set[str]):
    """A solver that breaks one law fails the checks of that law, and no others."""
    assert failing(solver_checks(solver)) == expected


def test_an_undeclared_derivative_is_found():
    """A solver that uses J·v must say so; saying something else does not help, and without derivatives it raises."""
    assert failing(solver_checks(broken_solvers.Undeclared(), needs=("jvp",))) == set()
    assert failing(solver_checks(broken_solvers.Undeclared(), needs=("vjp",))) == {"uses_only_what_it_declares"}
    assert "uses_only_what_it_declares" in failing(solver_checks(broken_solvers.Undeclared()))


@pytest.mark.parametrize(("sensitivity", "expected"), SENSITIVITIES, ids=name_of)
def test_a_broken_sensitivity_fails_the_checks_of_that_law(sensitivity: Any, expected: set[str]):
    """A sensitivity that breaks one law fails the checks of that law, and no others."""
    assert failing(sensitivity_checks(sensitivity)) == expected


@pytest.mark.parametrize(("integrator", "expected"), INTEGRATORS, ids=name_of)
def test_a_broken_integrator_fails_the_checks_of_that_law(integrator: Any, expected: set[str]):
    """An integrator that breaks a law fails the check of that law."""
    assert failing([check for check in integrator_checks(integrator) if check.name in expected]) == expected


@pytest.mark.parametrize(
    ("checks", "broken"),
    [
        (solver_checks(Picard()), [*BROKEN, (None, {"uses_only_what_it_declares"})]),
        (sensitivity_checks(ImplicitAdjoint()), SENSITIVITIES),
        (integrator_checks(broken_others.Heun()), [*INTEGRATORS, (None, {"finds_steady_states"})]),
    ],
    ids=["solver", "sensitivity", "integrator"],
)
def test_every_check_has_been_seen_to_fail(checks: list[Check], broken: Any):
    """No check is there that nothing fails; names are unique, and each has its reason."""
    names = [check.name for check in checks]
    assert set(names) == set().union(*(expected for _, expected in broken))
    assert len(names) == len(set(names))
    assert all(check.reason.endswith(".") for check in checks)


@pytest.mark.parametrize(
    "checks", [sensitivity_checks(ImplicitAdjoint()), integrator_checks(broken_others.Heun())], ids=len
)
def test_sound_sensitivities_and_integrators_pass(checks: list[Check]):
    """What the broken ones are made of passes."""
    assert failing(checks) == set()


def test_an_integrator_that_stands_still_is_no_solver():
    """The check that makes a solver of an integrator fails for one whose steps lead nowhere."""

    class Standing(broken_others.Heun):
        def attempt(self, flow: Any, start: Any, h: Any, memory: Any) -> Any:
            return super().attempt(flow, start, 0 * h, memory)

    assert failing([c for c in integrator_checks(Standing()) if c.name == "finds_steady_states"])


def test_a_sensitivity_that_is_called_approximate_need_not_be_exact():
    """The comparison with the dense inverse is skipped, with the reason; where J vanishes it must still be right."""
    from equilib import JacobianFree

    outcomes = {str(outcome.check): outcome for outcome in run_checks(sensitivity_checks(JacobianFree(), exact=False))}
    assert outcomes["agrees_with_the_dense_inverse"].status == "skipped"
    assert outcomes["agrees_with_the_dense_inverse"].evidence == "it is declared to be approximate"
    assert {outcome.status for outcome in outcomes.values()} == {"ok", "skipped"}


def test_a_missing_array_library_skips_with_the_reason(monkeypatch: pytest.MonkeyPatch):
    """Without array-api-strict the check on other arrays is skipped and says so, as pytest would show it."""
    monkeypatch.setitem(sys.modules, "array_api_strict", None)
    (check,) = [check for check in solver_checks(Picard()) if check.name == "runs_on_other_arrays"]
    with pytest.raises(SkipTest, match="none of these can be used here: array-api-strict"):
        check()


def test_a_check_turns_any_error_into_evidence():
    """What a solver raises is reported as a failure, with its type, its text and its cause."""

    def explode() -> None:
        raise np.linalg.LinAlgError("singular matrix")

    with pytest.raises(AssertionError, match="it raised LinAlgError: singular matrix") as caught:
        Check("some_law", "A reason.", explode)()
    assert isinstance(caught.value.__cause__, np.linalg.LinAlgError)


def test_unknown_needs_are_refused():
    """A product that does not exist is a mistake of the author's."""
    with pytest.raises(ValueError, match="not 'vpj'"):
        solver_checks(Picard(), needs=("vpj",))


def test_the_kit_needs_neither_pytest_nor_autograd():
    """Importing and running it loads no test framework, and nothing but NumPy and what equilib itself uses."""
    code = (
        "import sys; from equilib.testing import *; from equilib import Picard; "
        "assert all(o.status != 'failed' for o in run_checks(solver_checks(Picard()))); "
        "print([name for name in ('pytest', 'autograd', 'scipy', 'click') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
