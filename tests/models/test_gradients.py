"""The loss gradient of a deep equilibrium model, against finite differences and against dense matrices."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from equilib import (
    GMRES,
    Affine,
    ImplicitAdjoint,
    JacobianFree,
    Picard,
    Sensitivity,
    SolveOptions,
    Solver,
    Status,
    Unrolled,
)
from equilib.arrays.trees import tree_leaves
from equilib.fixed_points.solution import ConvergenceWarning
from equilib.numerics.bicgstab import BiCGStab
from equilib.numerics.linear_solver import LinearSolver
from equilib_linear_solvers.library import LibraryGMRES
from equilib_newton_gmres.solver import NewtonGMRES
from tests.models.networks import (
    CONV,
    DENSE,
    EXPANSIVE,
    GUESSES,
    Network,
    dense_jacobian,
    exactly,
    gradient,
    gradient_by_differences,
    gradient_by_formula,
    largest_difference,
    loss_of,
)

EVERY = [(network, guess) for network in (DENSE, CONV) for guess in GUESSES] + [
    (EXPANSIVE, "deq"),
    (EXPANSIVE, "regdeq"),
]
CONTRACTIVE = [(network, guess) for network, guess in EVERY if network is not EXPANSIVE]

DIFFERENCES = [(CONV, guess) for guess in GUESSES] + [(DENSE, "skipdeq"), (EXPANSIVE, "deq")]

every_network = pytest.mark.parametrize(("network", "guess"), EVERY, ids=str)


@cache
def by_differences(network: Network, guess: str) -> Any:
    """Return the gradient of the loss with respect to (params, x) by central differences."""
    model = network.model(guess)
    return gradient_by_differences(
        lambda both: loss_of(model, both[0], both[1], network.y), (network.params(guess), network.x)
    )


@cache
def by_dense_matrices(network: Network, guess: str) -> Any:
    """Return the same by w = (I − J)⁻ᵀ g with the matrix J."""
    return gradient_by_formula(network, guess, network.params(guess), exactly)


@pytest.mark.parametrize(("network", "guess"), DIFFERENCES, ids=str)
def test_the_formula_and_the_differences_agree(network: Network, guess: str):
    """The two references agree to 1e-6 for every parameter and the input, and no leaf's gradient is zero by chance."""
    formula, differences = by_dense_matrices(network, guess), by_differences(network, guess)
    assert largest_difference(formula, differences) < 1e-6
    assert min(float(np.max(np.abs(leaf))) for leaf in tree_leaves(formula)) > 1e-4


@pytest.mark.parametrize("linear_solver", [GMRES(), LibraryGMRES()], ids=str)
@every_network
def test_newton_gmres_and_its_adjoint_are_exact(network: Network, guess: str, linear_solver: LinearSolver):
    """With the default adjoint of Newton-GMRES: differences to 1e-6, the dense formula to 1e-9, for every leaf."""
    model = network.model(guess, NewtonGMRES(linear_solver))
    by_params, by_x, equilibrium = gradient(network, model, network.params(guess))
    assert set(equilibrium.status) == {Status.CONVERGED}
    assert [each.success for each in equilibrium.adjoints] == [True]
    assert largest_difference((by_params, by_x), by_dense_matrices(network, guess)) < 1e-9
    if (network, guess) in DIFFERENCES:
        assert largest_difference((by_params, by_x), by_differences(network, guess)) < 1e-6


@pytest.mark.parametrize(
    ("solver", "sensitivity"),
    [
        (Picard(), None),
        (Picard(), ImplicitAdjoint(Picard(), max_steps=200)),
        (NewtonGMRES(), ImplicitAdjoint(Affine(GMRES(2)), max_steps=100)),
        (NewtonGMRES(), ImplicitAdjoint(NewtonGMRES())),
        (Picard(), ImplicitAdjoint(linear_solver=BiCGStab(), max_steps=100)),
    ],
    ids=str,
)
@pytest.mark.parametrize("network", [DENSE, CONV], ids=str)
def test_any_solver_goes_with_any_adjoint(network: Network, solver: Solver, sensitivity: Sensitivity | None):
    """Forward and backward solves are chosen freely: where both converge the gradient is the same."""
    guess = "regdeq"
    model = network.model(guess, solver, sensitivity)
    by_params, by_x, equilibrium = gradient(network, model, network.params(guess))
    assert equilibrium.adjoints[0].success
    assert largest_difference((by_params, by_x), by_dense_matrices(network, guess)) < 1e-9


@pytest.mark.parametrize(("network", "guess"), CONTRACTIVE, ids=str)
def test_unrolled_agrees_where_picard_converges(network: Network, guess: str):
    """After enough iterations the unrolled gradient is that of the fixed point, and says that it converged."""
    model = network.model(guess, sensitivity=Unrolled(80))
    by_params, by_x, equilibrium = gradient(network, model, network.params(guess))
    assert equilibrium.adjoints[0].success
    assert largest_difference((by_params, by_x), by_dense_matrices(network, guess)) < 1e-9


def test_unrolled_says_where_picard_does_not_converge():
    """On the expansive network the gradient is another one, and the record is not CONVERGED."""
    model = EXPANSIVE.model(sensitivity=Unrolled(30))
    by_params, _, equilibrium = gradient(EXPANSIVE, model, EXPANSIVE.params())
    assert set(equilibrium.status) == {Status.CONVERGED}
    assert set(equilibrium.adjoints[0].status) == {Status.MAX_STEPS}
    assert np.all(equilibrium.adjoints[0].residual_norm > 1e-2)
    assert largest_difference(by_params, by_dense_matrices(EXPANSIVE, "deq")[0]) > 1e-3


@every_network
def test_jacobian_free_is_its_formula(network: Network, guess: str):
    """It is the gradient with w = g, to rounding; nothing is solved, so nothing is reported."""
    model = network.model(guess, sensitivity=JacobianFree())
    by_params, by_x, equilibrium = gradient(network, model, network.params(guess))
    expected = gradient_by_formula(network, guess, network.params(guess), lambda J, g: g)
    assert largest_difference((by_params, by_x), expected) < 1e-13
    assert equilibrium.adjoints == []
    assert largest_difference(by_params, by_dense_matrices(network, guess)[0]) > 1e-3


@pytest.mark.parametrize("linear_solver", [GMRES(), LibraryGMRES()], ids=str)
def test_the_adjoint_reports_its_status_and_residual(linear_solver: LinearSolver):
    """The record of the backward pass holds w, and the residual of (I − Jᵀ) w = g, sample by sample."""
    model, params = DENSE.model(solver=NewtonGMRES(linear_solver)), DENSE.params()
    _, _, equilibrium = gradient(DENSE, model, params)
    (adjoint,) = equilibrium.adjoints
    own = params["deq"]["cell"]
    u = model.deq.cell.inject(own, model.before(params["before"], DENSE.x))
    assert equilibrium.solution is not None
    J = dense_jacobian(lambda z: model.deq.cell.step(own, z, u), equilibrium.solution.z)
    w = adjoint.z.ravel()
    np.testing.assert_allclose(w - J.T @ w + adjoint.residual.ravel(), adjoint.z0.ravel(), atol=1e-14)
    norms = np.sqrt(np.mean(adjoint.residual**2, axis=1))
    np.testing.assert_allclose(adjoint.residual_norm, norms, atol=1e-18)
    assert np.all(norms <= 1e-13 * np.sqrt(np.mean(adjoint.z**2, axis=1)))
    assert adjoint.status == (Status.CONVERGED,) * 3
    assert str(linear_solver) in adjoint.solver


@pytest.mark.parametrize(
    "sensitivity",
    [
        ImplicitAdjoint(linear_solver=GMRES(1), max_steps=1),
        ImplicitAdjoint(linear_solver=LibraryGMRES(1), max_steps=1),
        ImplicitAdjoint(Picard(), max_steps=2),
    ],
    ids=str,
)
def test_an_adjoint_that_fails_is_reported(sensitivity: Sensitivity):
    """Too few steps leave a wrong gradient; the record says so, sample by sample, and by how much."""
    with pytest.warns(ConvergenceWarning, match="the adjoint equation of ImplicitAdjoint"):
        by_params, _, equilibrium = gradient(DENSE, DENSE.model(sensitivity=sensitivity), DENSE.params())
    assert set(equilibrium.status) == {Status.CONVERGED}
    (adjoint,) = equilibrium.adjoints
    assert set(adjoint.status) == {Status.MAX_STEPS}
    assert np.all(adjoint.residual_norm > 1e-10)
    assert largest_difference(by_params, by_dense_matrices(DENSE, "deq")[0]) > 1e-6


def test_the_error_of_the_gradient_is_that_of_the_adjoint():
    """The gradient gets as good as the adjoint's tolerance, and no better."""
    errors = []
    for rtol in (1e-1, 1e-3, 1e-6):
        model = DENSE.model(sensitivity=ImplicitAdjoint(rtol=rtol))
        by_params, _, _ = gradient(DENSE, model, DENSE.params())
        errors.append(largest_difference(by_params, by_dense_matrices(DENSE, "deq")[0]))
        assert errors[-1] < 5 * rtol
    assert errors[0] > errors[1] > errors[2]


def test_an_unconverged_forward_solve_is_not_hidden_by_its_gradient():
    """With too few steps the statuses say so, and the gradient is the implicit formula's at the iterate returned."""
    model = DENSE.model(solver=Picard())
    deq = model.deq
    few = type(deq)(
        deq.cell, deq.solver, deq.initial_guess, None, SolveOptions(rtol=1e-13, max_steps=2, on_failure="record")
    )
    model = type(model)(model.before, few, model.after)
    _, _, equilibrium = gradient(DENSE, model, DENSE.params())
    assert set(equilibrium.status) == {Status.MAX_STEPS}
    assert np.all(equilibrium.residual_norm > 1e-6)
