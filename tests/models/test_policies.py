"""One policy about what fails, for both directions: raise, warn or record."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from equilib import ConvergenceError, ImplicitAdjoint, Picard, SolveOptions, Unrolled, ops, solve
from equilib.autodiff import value_and_grad
from equilib.fixed_points.solution import ConvergenceWarning, UnsolvedWarning
from equilib.models import CellODE, DeepEquilibrium
from equilib.ode import IntegrationError, OdeOptions
from equilib.ode.adjoints import Backsolve, Interpolating
from equilib.ode.evolution import evolve
from equilib.ode.solution import OdeStatus
from equilib_neumann.series import Neumann
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_ode.tsit5 import Tsit5
from tests.models.small import CELL, batch, drawn

CUT_SHORT = ImplicitAdjoint(solver=Picard(), linear_solver=None, rtol=1e-12, max_steps=2)


def gradient(deq: Any) -> Any:
    """Differentiate a loss of the state."""
    params, x = drawn(deq), batch(np.random.default_rng(0))

    def loss(p: Any) -> Any:
        found = deq(p, x)
        return ops.sum(getattr(found, "z", found))

    return value_and_grad(loss, allow_unused=True)(params)


def short(on_failure: str) -> DeepEquilibrium:
    """Return a model that converges forward, and not backward."""
    options = SolveOptions(rtol=1e-6, on_failure=on_failure)
    return DeepEquilibrium(CELL, NewtonGMRES(), sensitivity=CUT_SHORT, options=options)


def test_the_default_is_to_warn_everywhere():
    """solve, integrate and models have the same policy, and other options do not change it."""
    model = DeepEquilibrium(CELL, Picard())
    every = SolveOptions(), OdeOptions(), SolveOptions(rtol=1e-2), model.options
    assert {each.on_failure for each in every} == {"warn"}
    assert model.options == SolveOptions()
    assert CellODE(CELL, Tsit5()).options.on_failure == "warn"
    with pytest.warns(ConvergenceWarning, match="left 1 of 1 samples unconverged"):
        solve(lambda z: 2 * z + 1, Picard(), np.ones((1, 1)), max_steps=3)


def test_raise_covers_the_adjoint():
    """An adjoint equation that was not solved raises, and the error names it and holds its solution."""
    with pytest.raises(ConvergenceError, match="the adjoint equation of ImplicitAdjoint was not") as caught:
        gradient(short("raise"))
    assert "3 of 3 samples" in str(caught.value)
    assert caught.value.solution.z.shape == (3, 5)


def test_warn_warns_once_a_pass():
    """Each backward pass that failed warns once, with the evidence; the gradient is returned."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        gradient(short("warn"))
    assert [each.category for each in heard] == [ConvergenceWarning]
    assert "the adjoint equation of ImplicitAdjoint" in str(heard[0].message)


def test_record_is_silent():
    """The adjoint's statuses are in the record, and nothing is said."""
    deq = short("record")
    params, x = drawn(deq), batch(np.random.default_rng(0))
    kept: list[Any] = []

    def loss(p: Any) -> Any:
        kept.append(deq(p, x))
        return ops.sum(kept[0].z)

    value_and_grad(loss, allow_unused=True)(params)
    assert [each.label for each in kept[0].adjoints[0].status] == ["max_steps"] * 3


@pytest.mark.parametrize("sensitivity", [Unrolled(2), Neumann(2)], ids=str)
def test_what_stops_early_on_purpose_has_not_failed(sensitivity: Any):
    """A series of two terms and two unrolled steps do what they promise, with "raise" too."""
    options = SolveOptions(rtol=1e-9, on_failure="raise")
    gradient(DeepEquilibrium(CELL, NewtonGMRES(), sensitivity=sensitivity, options=options))


class Abandoned(Interpolating):
    """An adjoint of an integration that reports one that ended early."""

    def pullback(self, problem: Any, solution: Any, cotangent: Any, *, guess: Any = None) -> Any:
        """Return what `Interpolating` does, with the report of a failure."""
        pulled = super().pullback(problem, solution, cotangent)
        ended = (replace(each, status=(OdeStatus.MAX_STEPS,) * len(each.status)) for each in pulled.solves)
        return replace(pulled, solves=tuple(ended))


def test_an_integrations_adjoint_has_the_same_policy():
    """What ends early backward in time raises an IntegrationError, or warns."""
    for policy, kind in (("raise", IntegrationError), ("warn", UnsolvedWarning)):
        model = CellODE(CELL, Tsit5(), sensitivity=Abandoned(), options=OdeOptions(on_failure=policy))
        with pytest.raises(kind, match="the adjoint equation of Abandoned was not solved"):
            gradient(model)


def test_a_flow_that_cannot_be_reversed_is_no_silent_nan():
    """What contracts by e^1000 cannot be integrated backward: the policy says so in both directions."""

    def loss(y0: Any) -> Any:
        options = OdeOptions(on_failure="raise", max_steps=1000)
        return ops.sum(
            evolve(lambda t, y: 1000 * (1 - y), y0, [0, 1], integrator=Tsit5(), adjoint=Backsolve(), options=options).y
        )

    with pytest.raises(IntegrationError, match="the adjoint equation of Backsolve was not solved"):
        value_and_grad(loss)(np.zeros((1, 1)))
