"""The check of a gradient: it tells right from wrong, and what is wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from equilib import (
    ImplicitAdjoint,
    JacobianFree,
    Needs,
    Picard,
    Pullback,
    Sensitivity,
    Solution,
    Solver,
    Unrolled,
    ops,
)
from equilib.arrays.trees import tree_map
from equilib.autodiff import static_value
from equilib.autodiff.custom import with_pullback
from equilib.diagnostics import GradientCheck, check_gradient
from equilib.layers import Chain, Dense
from equilib.models import DeepEquilibrium, InjectedCell
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import lift
from tests.models.networks import CONV, DENSE, EXPANSIVE, GUESSES, Network

FORWARD, ADJOINT, APPROXIMATION = "the forward residual", "the adjoint's residual", "the adjoint's own approximation"


def check(
    network: Network,
    sensitivity: Sensitivity | None = None,
    *,
    solver: Solver | None = None,
    guess: str = "deq",
    dtype: str = "float64",
    **options: Any,
) -> GradientCheck:
    """Check the gradient of a small network's equilibrium."""
    model = network.model(guess, solver, sensitivity)
    params = tree_map(lambda leaf: leaf.astype(dtype), network.params(guess))
    deq = replace(model.deq, options=replace(model.deq.options, **options))
    return deq.check_gradient(params["deq"], model.before(params["before"], network.x.astype(dtype)))


@pytest.mark.parametrize("guess", GUESSES)
@pytest.mark.parametrize("network", [DENSE, CONV, EXPANSIVE], ids=str)
def test_a_converged_gradient_is_right(network: Network, guess: str) -> None:
    """Solved to rounding, the gradient is right for every kind of initial guess, and differences confirm it."""
    found = check(network, guess=guess)
    assert found.confirmed
    assert found.verdict.startswith("Right")
    assert found.dominant is None
    assert found.relative_error < 1e-9
    assert found.against_differences.relative_error < 1e-7
    assert found.cosine == pytest.approx(1)


def test_any_array_library_will_do(xp: ModuleType) -> None:
    """The check runs on every array library and finds the same."""
    model, params = DENSE.model(sensitivity=JacobianFree()), DENSE.params()
    x = np.asarray(model.before(params["before"], DENSE.x))
    found = model.deq.check_gradient(lift(xp, params["deq"]), lift(xp, x))
    assert found.relative_error == pytest.approx(check(DENSE, JacobianFree()).relative_error, rel=1e-9)


def test_the_error_of_the_jacobian_free_gradient_is_its_own() -> None:
    """Without an adjoint equation the error is the approximation's, of the size of J."""
    found = check(DENSE, JacobianFree())
    assert found.dominant == APPROXIMATION
    assert 0.1 < found.relative_error < 1
    assert found.cosine > 0
    assert found.relative_error == pytest.approx(found.contributions[APPROXIMATION], rel=1e-6)
    assert found.contributions[FORWARD] < 1e-9
    assert "--adjoint implicit" in found.verdict


def test_a_short_unrolling_is_an_approximation() -> None:
    """Differentiating five iterations is off by what the fixed point is still away."""
    found = check(CONV, Unrolled(5))
    assert found.dominant == APPROXIMATION
    assert found.relative_error > 1e-6


def test_a_loose_forward_solve_is_found_out() -> None:
    """With an adjoint solved to rounding at a point that is no fixed point, the forward residual is to blame."""
    found = check(DENSE, ImplicitAdjoint(rtol=1e-12), solver=Picard(), rtol=1e-2)
    assert found.dominant == FORWARD
    assert found.relative_error > 1e-4
    assert found.distance > 1e-4
    assert found.contributions[ADJOINT] < 1e-9


def test_a_loose_adjoint_solve_is_found_out() -> None:
    """With a tight forward solve and a loose adjoint one, the adjoint's residual is to blame."""
    found = check(DENSE, ImplicitAdjoint(NewtonGMRES(), rtol=0.1))
    assert found.dominant == ADJOINT
    assert found.relative_error > 1e-4
    assert found.contributions[APPROXIMATION] < 1e-9
    assert found.adjoint_solve is not None


@dataclass(frozen=True)
class Follower:
    """An implicit adjoint without options: it goes by the forward solve's tolerance."""

    needs: ClassVar[Needs] = Needs()

    def pullback(self, problem: Any, solution: Any, cotangent: Any, *, guess: Any = None) -> Pullback[Solution]:
        """Return the cotangents of the inputs."""
        return ImplicitAdjoint(NewtonGMRES()).pullback(problem, solution, cotangent)


@pytest.mark.parametrize("sensitivity", [None, Follower()], ids=["with options", "without options"])
def test_an_adjoint_that_follows_the_forward_tolerance_is_still_told_apart(sensitivity: Sensitivity | None) -> None:
    """An adjoint without a tolerance of its own takes the solve's, and its share of the error is its own."""
    found = check(CONV, sensitivity, rtol=1e-2, max_steps=20)
    assert found.contributions[ADJOINT] > 1e-4
    assert found.contributions[APPROXIMATION] < 1e-9


@dataclass(frozen=True)
class Unfaithful:
    """tanh, with a derivative that is 1 % too large."""

    def init(self, rng: np.random.Generator) -> Any:
        """Return no parameters."""
        return {}

    def __call__(self, params: Any, x: Any) -> Any:
        """Return tanh(x)."""
        value = np.tanh(static_value(x))
        return with_pullback(value, lambda w: [1.01 * (1 - value**2) * w], x)


def test_a_wrong_derivative_is_not_taken_for_a_bad_adjoint() -> None:
    """An operation whose vjp is wrong by 1 % is contradicted by finite differences."""
    model = DENSE.model()
    faithful, unfaithful = (
        replace(model.deq, cell=replace(model.deq.cell, injection=Chain(Dense(4, 5), activation)))
        for activation in (ops.tanh, Unfaithful())
    )
    x, params = DENSE.x @ np.ones((3, 4)), tree_map(np.asarray, DENSE.params()["deq"])
    params = params | {"cell": params["cell"] | {"inject": [params["cell"]["inject"], {}]}}
    assert faithful.check_gradient(params, x).confirmed
    found = unfaithful.check_gradient(params, x)
    assert not found.confirmed
    assert found.dominant is None
    assert found.verdict.startswith("Wrong derivatives: finite differences contradict")


def test_a_kink_beside_the_point_is_no_wrong_derivative() -> None:
    """Where a unit of ReLU changes sign within the change of the differences, smaller ones confirm the gradient."""
    model = DENSE.model()
    deq = replace(model.deq, cell=replace(model.deq.cell, injection=Chain(Dense(4, 5), ops.relu)))
    x, params = DENSE.x @ np.ones((3, 4)), tree_map(np.asarray, DENSE.params()["deq"])
    inject = params["cell"]["inject"]
    for distance in (1e-6, 1e-5, -1e-5):
        bias = distance - (x @ inject["weight"])[0]
        near = params | {"cell": params["cell"] | {"inject": [inject | {"bias": bias}, {}]}}
        assert deq.check_gradient(near, x).confirmed


def test_without_a_fixed_point_nothing_is_claimed() -> None:
    """Where the refinement finds no fixed point the verdict is unknown, with the evidence."""
    cell = InjectedCell(Dense(2, 2), Chain(), Chain())  # f(z) = z + inject(x)
    deq = DeepEquilibrium(cell, Picard())
    found = check_gradient(deq, deq.init(np.random.default_rng(0)), np.ones((1, 2), dtype="float32"))
    assert not found.confirmed
    assert found.verdict.startswith("Unknown: there is no better gradient to compare with, since")


def test_single_precision_is_judged_by_its_own_measure() -> None:
    """In float32 a gradient that is right to three digits is right."""
    found = check(DENSE, dtype="float32", rtol=1e-6, atol=1e-6)
    assert found.accuracy > 1e-3
    assert found.verdict.startswith("Right")


def test_the_report_is_plain() -> None:
    """What is described can be written as JSON, and holds the numbers of the report."""
    found = check(DENSE, JacobianFree())
    plain = json.loads(json.dumps(found.describe(), allow_nan=False))
    assert plain["against_implicit"]["parameters"]["cosine"] == found.against_implicit["parameters"].cosine
    assert plain["contributions"] == dict(found.contributions)
    assert plain["forward"]["unconverged"] == 0
    assert plain["adjoint_solve"] is None
    assert plain["verdict"] == found.verdict


def test_a_solve_that_was_told_to_raise_is_checked_as_well() -> None:
    """Failures are what the check is about, so it records them."""
    assert check(DENSE, solver=Picard(), max_steps=1, on_failure="raise").forward.status


def test_a_fixed_depth_has_no_adjoint() -> None:
    """A model that iterates is refused, with the way out."""
    model = DENSE.model()
    with pytest.raises(ValueError, match="before `unrolled`"):
        model.deq.unrolled(3).check_gradient(DENSE.params()["deq"], DENSE.x)


def test_there_must_be_a_direction() -> None:
    """Without directions there would be no finite differences."""
    with pytest.raises(ValueError, match="directions must be positive, got 0"):
        DENSE.model().deq.check_gradient(DENSE.params()["deq"], DENSE.x, directions=0)
