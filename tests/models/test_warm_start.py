"""Solves that start where an earlier pass ended, forward and backward."""

from __future__ import annotations

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
    Status,
    Unrolled,
    ops,
)
from equilib.arrays.trees import tree_leaves
from equilib.autodiff import IndependentError, value_and_grad
from equilib.layers import Dense
from equilib.models import DeepEquilibrium, LayerGuess, OneStepGuess
from equilib.numerics.bicgstab import BiCGStab
from equilib.ode.steady_state import SteadyState
from equilib_anderson.solver import Anderson
from equilib_broyden.full import Broyden
from equilib_broyden.shine import Shine
from equilib_neumann.series import Neumann
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_ode.tsit5 import Tsit5
from equilib_revdeq.reversible import Reversible
from tests.models.networks import DENSE, exactly, gradient_by_formula, largest_difference, loss_of
from tests.models.small import CELL, batch, drawn

WARM: tuple[Sensitivity, ...] = (
    ImplicitAdjoint(),
    ImplicitAdjoint(Affine(BiCGStab()), max_steps=50),
    ImplicitAdjoint(Affine(GMRES(2)), max_steps=100),
    ImplicitAdjoint(Picard(), max_steps=300),
    ImplicitAdjoint(Anderson(), max_steps=100),
    ImplicitAdjoint(NewtonGMRES()),
    ImplicitAdjoint(Broyden(), max_steps=100),
    ImplicitAdjoint(linear_solver=GMRES(7), max_steps=100),
    ImplicitAdjoint(SteadyState(Tsit5()), max_steps=2000),
)
OPTIONS = SolveOptions(rtol=1e-10, max_steps=60)


def pass_through(deq: DeepEquilibrium, params: Any, x: Any, **guesses: Any) -> tuple[Any, Any]:
    """Return the gradient of Σ sin z* with respect to (params, x), and the record."""
    kept = []

    def loss(both: Any) -> Any:
        kept.append(deq(*both, **guesses))
        return ops.sum(ops.sin(kept[0].z))

    return value_and_grad(loss)((params, x))[1], kept[0]


# --- the adjoint


@pytest.mark.parametrize("sensitivity", WARM, ids=str)
def test_an_adjoint_that_starts_at_its_solution_takes_no_step(sensitivity: Sensitivity, rng: np.random.Generator):
    """With unchanged parameters the w of the last pass is the w of this one: found at once, the same gradient."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), sensitivity=sensitivity, options=OPTIONS)
    params, x = drawn(deq), batch(rng)
    cold, first = pass_through(deq, params, x)
    w = first.adjoints[0].z
    warm, again = pass_through(deq, params, x, adjoint_guess=w)
    assert np.all(first.adjoints[0].steps > 0)
    np.testing.assert_array_equal(again.adjoints[0].steps, 0)
    assert again.adjoints[0].nfe == 1
    np.testing.assert_array_equal(again.adjoints[0].z, w)
    for ours, theirs in zip(tree_leaves(warm), tree_leaves(cold), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("sensitivity", WARM, ids=str)
def test_the_gradient_does_not_depend_on_the_guess(sensitivity: Sensitivity, rng: np.random.Generator):
    """From anywhere the adjoint solve arrives at the gradient of the dense (I − J)⁻ᵀ."""
    model, params = DENSE.model("regdeq", sensitivity=sensitivity), DENSE.params("regdeq")
    guess = 3 * rng.standard_normal((3, 5))
    grad = value_and_grad(
        lambda both: loss_of(lambda *args: model(*args, adjoint_guess=guess), both[0], both[1], DENSE.y)  # type: ignore[arg-type]
    )((params, DENSE.x))[1]
    by_dense_matrices = gradient_by_formula(DENSE, "regdeq", params, exactly)
    assert largest_difference(grad, by_dense_matrices) < 1e-8


def test_a_near_guess_saves_products(rng: np.random.Generator):
    """After a small change of the parameters the old w is closer than g, and fewer steps are left."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), sensitivity=ImplicitAdjoint(Picard(), max_steps=300), options=OPTIONS)
    params, x = drawn(deq, scale=0.8), batch(rng)
    _, first = pass_through(deq, params, x)
    params["cell"]["recur"]["weight"] = params["cell"]["recur"]["weight"] * (1 + 1e-6)
    _, cold = pass_through(deq, params, x)
    _, warm = pass_through(deq, params, x, adjoint_guess=first.adjoints[0].z)
    assert warm.adjoints[0].nfe < 0.75 * cold.adjoints[0].nfe


@pytest.mark.parametrize("sensitivity", WARM, ids=str)
def test_samples_that_cannot_use_a_guess_start_cold(sensitivity: Sensitivity, rng: np.random.Generator):
    """A sample without gradient has w = 0, and one whose guess is not finite is solved all the same."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), sensitivity=sensitivity, options=OPTIONS)
    params, x = drawn(deq), batch(rng)
    guess = np.ones((3, 5))
    guess[2] = np.nan
    records = []

    def loss(x: Any, guess: Any) -> Any:
        records.append(deq(params, x, adjoint_guess=guess))
        return ops.sum(ops.multiply(records[-1].z, np.array([[1.0], [0.0], [1.0]])))

    warm, cold = (value_and_grad(lambda x, start=start: loss(x, start))(x)[1] for start in (guess, None))
    assert set(records[0].adjoints[0].status) == {Status.CONVERGED}
    assert records[0].adjoints[0].steps[1] == 0
    np.testing.assert_array_equal(warm[1], 0.0)
    np.testing.assert_allclose(warm, cold, atol=1e-8)


@pytest.mark.parametrize(
    ("sensitivity", "name"),
    [
        (JacobianFree(), "JacobianFree"),
        (Unrolled(5), "Unrolled"),
        (Neumann(), "Neumann"),
        (Shine(), "Shine"),
        (Reversible(), "Reversible"),
    ],
)
def test_an_adjoint_that_starts_nowhere_says_so(sensitivity: Sensitivity, name: str, rng: np.random.Generator):
    """A guess that would be ignored is refused, with the name of the adjoint, before anything is solved."""
    deq = DeepEquilibrium(CELL, Broyden(), sensitivity=sensitivity)
    params, x = drawn(deq), batch(rng)
    with pytest.raises(
        ValueError, match=rf"the adjoint {name}\(.*\) cannot start from a guess; leave out adjoint_guess"
    ):
        deq(params, x, adjoint_guess=np.zeros((3, 5)))


def test_a_fixed_depth_has_no_adjoint_to_start(rng: np.random.Generator):
    """There is no equation to solve, so a guess of its solution is a mistake."""
    deq = DeepEquilibrium(CELL, Picard()).unrolled(3)
    with pytest.raises(ValueError, match="a model with a fixed depth solves no adjoint equation"):
        deq(drawn(deq), batch(rng), adjoint_guess=np.zeros((3, 5)))


# --- the forward solve


@pytest.mark.parametrize("solver", [Picard(), NewtonGMRES(), Anderson(), Broyden()], ids=str)
def test_a_solve_that_starts_at_the_fixed_point_takes_no_step(solver: Any, rng: np.random.Generator):
    """Two evaluations, one for the slope, find the last z* still to be one; the model's own guess is not evaluated."""
    deq = DeepEquilibrium(CELL, solver, OneStepGuess(), options=OPTIONS)
    params, x = drawn(deq), batch(rng)
    cold, first = pass_through(deq, params, x)
    warm, again = pass_through(deq, params, x, guess=first.solution.z)
    np.testing.assert_array_equal(again.solution.steps, 0)
    assert again.nfe == again.solution.nfe == 2
    np.testing.assert_array_equal(again.z0, first.solution.z)
    assert largest_difference(warm, cold) < 1e-8


def test_a_fixed_depth_starts_at_the_guess(rng: np.random.Generator):
    """The loop, with checkpoints or without, is z ← f(z, x) from there."""
    deq = DeepEquilibrium(CELL, Picard(), OneStepGuess())
    params, x, guess = drawn(deq), batch(rng), rng.standard_normal((3, 5))
    z = guess
    for _ in range(4):
        z = CELL.step(params["cell"], z, CELL.inject(params["cell"], x))
    for checkpoints in (None, 2):
        found = deq.unrolled(4, checkpoints=checkpoints)(params, x, guess=guess)
        np.testing.assert_array_equal(found.z, z)
        assert found.nfe == 4


def test_a_guess_is_a_constant(rng: np.random.Generator):
    """Nothing flows back into it, traced or not, also where the loop is differentiated."""
    deq = DeepEquilibrium(CELL, Picard()).unrolled(3)
    params, x, guess = drawn(deq), batch(rng), rng.standard_normal((3, 5))
    with pytest.raises(IndependentError):
        value_and_grad(lambda guess: ops.sum(deq(params, x, guess=guess).z))(guess)


def test_a_guess_leaves_the_parameters_of_the_models_own_without_influence(rng: np.random.Generator):
    """They are not used, and a gradient with respect to them is an error that names them, not a silent zero."""
    deq = DeepEquilibrium(CELL, Picard(), LayerGuess(Dense(4, 5)))
    params, x = drawn(deq), batch(rng)
    with pytest.raises(IndependentError, match="initial_guess/weight"):
        value_and_grad(lambda params: ops.sum(deq(params, x, guess=np.zeros((3, 5))).z))(params)


@pytest.mark.parametrize("own", [OneStepGuess(), LayerGuess(Dense(4, 5))], ids=lambda own: type(own).__name__)
def test_a_start_leaves_the_guess_in_the_loss(own: Any, rng: np.random.Generator):
    """From the fixed point no step is taken, and a loss of z* and z0 has the gradient of a cold solve."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), own, options=OPTIONS)
    params, x = drawn(deq), batch(rng)
    records: list[Any] = []

    def gradient(**starts: Any) -> Any:
        def loss(params: Any) -> Any:
            records.append(deq(params, x, **starts))
            return ops.sum(ops.multiply(ops.sin(records[-1].z), records[-1].z0))

        return value_and_grad(loss)(params)[1]

    cold = gradient()
    warm = gradient(start=records[0].solution.z)
    np.testing.assert_array_equal(records[1].solution.steps, 0)
    assert records[1].nfe == own.nfe + 2
    assert largest_difference(warm, cold) < 1e-8


def test_the_guess_is_differentiated_where_the_start_is_unknown(rng: np.random.Generator):
    """An unrolled adjoint carries its cotangent to the guess of the samples that started there, and to no other."""
    deq = DeepEquilibrium(CELL, Picard(), LayerGuess(Dense(4, 5)), Unrolled(2), SolveOptions(on_failure="record"))
    params, x, start = drawn(deq), batch(rng), rng.standard_normal((3, 5))
    start[1] = np.nan

    def gradient(x: Any, start: Any) -> Any:
        def loss(own: Any) -> Any:
            return ops.sum(deq({**params, "initial_guess": own}, x, start=start).z)

        return value_and_grad(loss)(params["initial_guess"])[1]["weight"]

    both, alone = gradient(x, start), gradient(x[1:2], None)
    assert np.any(alone != 0)
    np.testing.assert_allclose(both, alone, atol=1e-12)


def test_a_fixed_depth_has_a_guess_and_no_start(rng: np.random.Generator):
    """Where a loop starts decides where it ends, so that a start would change the model."""
    deq = DeepEquilibrium(CELL, Picard()).unrolled(3)
    with pytest.raises(ValueError, match="give a guess, not a start"):
        deq(drawn(deq), batch(rng), start=np.zeros((3, 5)))


@pytest.mark.parametrize("name", ["guess", "start", "adjoint_guess"])
@pytest.mark.parametrize(
    ("wrong", "it_is"),
    [
        (np.zeros((2, 5)), r"it is ndarray of shape \(2, 5\) and dtype float64"),
        (np.zeros((3, 5), dtype=np.float32), r"it is ndarray of shape \(3, 5\) and dtype float32"),
        (0.0, "it is no array but of type float"),
    ],
)
def test_a_guess_is_like_the_fixed_point(name: str, wrong: Any, it_is: str, rng: np.random.Generator):
    """Another shape, as of a last, shorter batch, or dtype is refused in one sentence with both."""
    deq = DeepEquilibrium(CELL, NewtonGMRES())
    params, x = drawn(deq), batch(rng)
    opening = f"the {name.replace('_', ' ')} must be like the fixed point, "
    with pytest.raises(ValueError, match=opening + r"ndarray of shape \(3, 5\) and dtype float64; " + it_is):
        deq(params, x, **{name: wrong})


def test_a_network_hands_guesses_on():
    """`DEQChain` starts its equilibrium, and the adjoint equation, where it is told to."""
    model, params = DENSE.model(sensitivity=ImplicitAdjoint()), DENSE.params()
    records: list[Any] = []

    def loss(params: Any, guesses: dict[str, Any]) -> Any:
        prediction, equilibrium = model(params, DENSE.x, **guesses)
        records.append(equilibrium)
        return ops.cross_entropy(prediction, DENSE.y)

    value_and_grad(lambda params: loss(params, {}))(params)
    z, w = records[0].solution.z, records[0].adjoints[0].z
    value_and_grad(lambda params: loss(params, {"guess": z, "adjoint_guess": w}))(params)
    assert (records[1].nfe, records[1].adjoints[0].nfe) == (2, 1)
