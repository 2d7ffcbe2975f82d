"""The conformance kit: sound plugins pass, and each way to break the contract is found by the law that names it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest

from equilib import ImplicitAdjoint, JacobianFree, Picard
from equilib.testing import (
    Check,
    Outcome,
    dataset_checks,
    integrator_checks,
    kernel_checks,
    linear_solver_checks,
    ode_sensitivity_checks,
    optimizer_checks,
    run_checks,
    sensitivity_checks,
    solver_checks,
)
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_ode.tsit5 import Tsit5
from tests.broken import (
    answers,
    batches,
    contract,
    datasets,
    integrators,
    kernels,
    linear_solvers,
    ode_sensitivities,
    optimizers,
    sensitivities,
    sound,
)
from tests.broken.fault import Fault

KINDS: dict[str, tuple[Callable[..., list[Check]], Any, tuple[Fault, ...]]] = {
    "solver": (solver_checks, sound.Sound(), contract.FAULTS + answers.FAULTS + batches.FAULTS),
    "sensitivity": (sensitivity_checks, ImplicitAdjoint(), sensitivities.FAULTS),
    "integrator": (integrator_checks, integrators.Heun(), integrators.FAULTS),
    "sensitivity of an ODE": (
        partial(ode_sensitivity_checks, integrator=Tsit5()),
        ode_sensitivities.Sound(),
        ode_sensitivities.FAULTS,
    ),
    "linear solver": (linear_solver_checks, linear_solvers.Sound(), linear_solvers.FAULTS),
    "optimizer": (optimizer_checks, optimizers.Sound(), optimizers.FAULTS),
    "data set": (dataset_checks, datasets.Sound(), datasets.FAULTS),
    "kernels": (kernel_checks, kernels.Sound(), kernels.FAULTS),
}
"""The list of checks of each kind of plugin, a sound one, and the broken ones."""

BROKEN = [
    pytest.param(checks, fault, id=f"{kind}-{fault}") for kind, (checks, _, faults) in KINDS.items() for fault in faults
]


def failing(checks: list[Check]) -> set[str]:
    """Return the names of the checks that fail; each must say why."""
    outcomes = [outcome for outcome in run_checks(checks) if outcome.status == "failed"]
    assert all(outcome.evidence for outcome in outcomes)
    return {outcome.check.name for outcome in outcomes}


@pytest.mark.parametrize("check", solver_checks(Picard(), needs=()), ids=str)
def test_the_documented_use_with_pytest(check: Check):
    """A list of checks parametrizes a test, which calls them."""
    check()


@pytest.mark.parametrize(
    ("solver", "declared"),
    [
        (Picard(damping=0.3), {}),
        (NewtonGMRES(), {"needs": ("jvp",)}),
        (answers.WholePicard(), {}),
        (batches.Coupling(), {"couples_samples": True}),
        (answers.WrongAdjoint(), {"exact": False}),
        (answers.WrongAdjoint(), {"sensitivity": ImplicitAdjoint()}),
        (contract.NumPyOnly(), {"backends": ("numpy",)}),
        (Picard(), {"backends": ("numpy", "cupy")}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_declared_is_allowed(solver: Any, declared: dict[str, Any]):
    """Sound solvers pass, iterative or whole, and so do those whose author says what is special about them."""
    assert failing(solver_checks(solver, **declared)) == set()


@pytest.mark.parametrize(("checks", "fault"), BROKEN)
def test_a_broken_plugin_is_caught_by_the_law_that_names_its_fault(checks: Callable[..., list[Check]], fault: Fault):
    """A plugin that breaks one law fails the check of that law, and those it cannot keep then, but no others."""
    found = failing(checks(fault.plugin, **fault.declared))
    assert fault.law in found, f"{fault.name} was not found; the kit found {found or 'nothing'}"
    assert found == {fault.law} | fault.also


def test_there_are_many_ways_to_break_a_contract():
    """The kit is tried on broken plugins of every kind, each with a fault of its own and a name for it."""
    faults = [fault for _, _, each in KINDS.values() for fault in each]
    assert len({(type(fault.plugin), str(fault.plugin)) for fault in faults}) == len(faults) >= 180
    assert all(fault.name for fault in faults)


@pytest.mark.parametrize("kind", KINDS)
def test_every_law_has_been_seen_to_fail(kind: str):
    """No law is there that nothing fails; names are unique, each has its reason, and a sound plugin keeps them all."""
    checks, plugin, faults = KINDS[kind]
    names = [check.name for check in checks(plugin)]
    assert set(names) == {fault.law for fault in faults}
    assert len(names) == len(set(names))
    assert all(check.reason.endswith(".") for check in checks(plugin))
    assert failing(checks(plugin)) == set()


def test_an_undeclared_derivative_is_found():
    """Without derivatives a solver that needs them raises; said to need them, it is sound."""
    assert failing(solver_checks(contract.Undeclared(), needs=("jvp",))) == set()
    assert "uses_only_what_it_declares" in failing(solver_checks(contract.Undeclared()))


def test_a_sensitivity_that_is_called_approximate_need_not_be_exact():
    """The comparison with the dense inverse is skipped, with the reason; the cosine with the gradient is measured."""
    outcomes: dict[str, Outcome] = {
        str(outcome.check): outcome for outcome in run_checks(sensitivity_checks(JacobianFree(), exact=False))
    }
    assert outcomes["agrees_with_the_dense_inverse"].status == "skipped"
    assert outcomes["agrees_with_the_dense_inverse"].evidence == "it is declared to be approximate"
    assert {outcome.status for outcome in outcomes.values()} == {"ok", "skipped"}
    measured = outcomes["points_along_the_gradient"].evidence
    assert measured.startswith("the least cosine of a sample with the exact gradient is 0.9")


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


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), MemoryError()], ids=lambda each: type(each).__name__)
def test_whatever_a_plugin_raises_fails_the_check(error: BaseException) -> None:
    """A solver that calls sys.exit(0) does not end the kit, let alone with success."""

    def examine() -> str | None:
        raise error

    (outcome,) = run_checks([Check("law", "A reason.", examine)])
    assert (outcome.status, outcome.evidence.partition(":")[0]) == ("failed", f"it raised {type(error).__name__}")
