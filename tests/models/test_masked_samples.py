"""Samples that the loss leaves out: they contribute nothing to the gradient, whatever they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import (
    FixedPointProblem,
    ImplicitAdjoint,
    JacobianFree,
    Picard,
    Sensitivity,
    SolveOptions,
    Solver,
    Unrolled,
    ops,
    solve,
)
from equilib.arrays import in_dtype, tree_leaves
from equilib.autodiff import value_and_grad
from equilib.layers import Dense
from equilib.models import (
    Autonomous,
    DeepEquilibrium,
    DEQChain,
    LayerGuess,
    NeuralODE,
    ODEChain,
    OneStepGuess,
    ZeroGuess,
)
from equilib.models.sick_samples import by_sample
from equilib.ode.adjoints import Backsolve, Discrete, Interpolating
from equilib.ode.solution import OdeOptions
from equilib_broyden.full import Broyden
from equilib_broyden.limited import LimitedMemoryBroyden
from equilib_broyden.shine import Shine
from equilib_neumann.series import Neumann
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_ode.tsit5 import Tsit5
from equilib_revdeq.reversible import Reversible
from equilib_revdeq.solver import RevDEQ
from tests.models.small import CELL, drawn

RECORD = SolveOptions(rtol=1e-10, max_steps=60, on_failure="record")
LEFT_OUT = 1
KEPT = np.array([0, 2, 3])

SENSITIVITIES: list[tuple[Sensitivity[Any], Solver]] = [
    (ImplicitAdjoint(), NewtonGMRES()),
    (ImplicitAdjoint(solver=Picard(), linear_solver=None), Picard()),
    (JacobianFree(), Picard()),
    (Unrolled(20), Picard()),
    (Unrolled(20, checkpoints=None), Picard()),
    (Neumann(4), Picard()),
    (Shine(), Broyden()),
    (Reversible(), RevDEQ()),
    (Shine(refine=3), LimitedMemoryBroyden()),
]


def inputs(sick: float) -> np.ndarray:
    """Draw the inputs of four samples, of which the second is `sick` in one element."""
    x = np.random.default_rng(5).standard_normal((4, 4))
    x[LEFT_OUT, 2] = sick
    return x


def masked(z: Any) -> Any:
    """Return a loss of the samples that are kept, by selection."""
    kept = np.ones((4, 1), dtype=bool)
    kept[LEFT_OUT] = False
    z = ops.where(kept, z, np.zeros((4, 1)))
    return ops.sum(ops.multiply(z, z))


def check_like_without(deq: Any, sick: float, read: Any = lambda found: found.z) -> None:
    """Require the gradient of a masked batch with a `sick` number to be that without the sample, and x's to be 0."""
    params, x = drawn(deq), inputs(sick)

    def both(tree: Any) -> Any:
        return masked(read(deq(tree["params"], tree["x"])))

    def alone(tree: Any) -> Any:
        z = read(deq(tree["params"], tree["x"]))
        return ops.sum(ops.multiply(z, z))

    _, found = value_and_grad(both, allow_unused=True)({"params": params, "x": x})
    _, expected = value_and_grad(alone, allow_unused=True)({"params": params, "x": x[KEPT]})
    for one, other in zip(tree_leaves(found["params"]), tree_leaves(expected["params"]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["x"][KEPT], expected["x"], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found["x"][LEFT_OUT], np.zeros(4))


every_sick = pytest.mark.parametrize("sick", [np.nan, np.inf, -np.inf])


@every_sick
@pytest.mark.parametrize(("sensitivity", "solver"), SENSITIVITIES, ids=str)
def test_nan_in_an_input_that_the_loss_masks_spoils_nothing(sensitivity: Any, solver: Solver, sick: float):
    """The gradient of parameters and inputs is that of the other samples alone, by every sensitivity."""
    check_like_without(DeepEquilibrium(CELL, solver, OneStepGuess(), sensitivity, RECORD), sick)


@every_sick
@pytest.mark.parametrize("guess", [OneStepGuess(), ZeroGuess()], ids=str)
@pytest.mark.parametrize("checkpoints", [None, 2])
def test_nan_spoils_nothing_at_a_fixed_depth(guess: Any, checkpoints: int | None, sick: float):
    """The same is true of iterations that are differentiated themselves."""
    check_like_without(DeepEquilibrium(CELL, Picard(), guess, fixed_depth=4, checkpoints=checkpoints), sick)


@every_sick
def test_nan_that_reaches_explicit_layers_spoils_nothing(sick: float):
    """Layers before the equilibrium, and a guess with parameters, take nothing from a masked sample of nan either."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), LayerGuess(Dense(4, 5)), options=RECORD)
    chain = DEQChain(Dense(4, 4), deq, Dense(5, 2))
    x = inputs(sick)
    params = in_dtype(chain.init(np.random.default_rng(0)), "float64")

    def loss(tree: Any, x: Any, reduce: Any) -> Any:
        prediction, _ = chain(tree, x)
        return reduce(prediction)

    _, found = value_and_grad(loss)(params, x, masked)
    _, expected = value_and_grad(loss)(params, x[KEPT], lambda z: ops.sum(ops.multiply(z, z)))
    for one, other in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@every_sick
@pytest.mark.parametrize("per_sample", [True, False])
@pytest.mark.parametrize("adjoint", [Interpolating(), Backsolve(), Discrete()], ids=str)
def test_ode_models_take_nothing_from_a_masked_sample(sick: float, per_sample: bool, adjoint: Any):
    """The sample is nan and NONFINITE, the others are integrated without it, and so is the gradient."""
    options = OdeOptions(per_sample=per_sample, on_failure="record")
    ode = NeuralODE(Autonomous(Dense(4, 4)), Tsit5(), adjoint, options)
    chain = ODEChain(Dense(4, 4), ode, Dense(4, 2))
    x, params = inputs(sick), in_dtype(chain.init(np.random.default_rng(0)), "float64")
    prediction, evolution = chain(params, x)
    assert [each.label for each in evolution.status] == ["finished", "nonfinite", "finished", "finished"]
    assert np.isnan(prediction[LEFT_OUT]).all()
    _, found = value_and_grad(lambda p: masked(chain(p, x)[0]))(params)
    _, expected = value_and_grad(lambda p: ops.sum(ops.multiply(*[chain(p, x[KEPT])[0]] * 2)))(params)
    for one, other in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-2)


@np.errstate(invalid="ignore")  # it depends on the kernel of BLAS whether products with inf warn
def test_an_inf_that_the_loss_uses_is_not_hidden():
    """Where a layer makes a finite number of it, its derivative is none: nan, not that of another sample."""
    layer = Dense(4, 4)
    params, x = layer.init(np.random.default_rng(0)), inputs(np.inf)
    function = lambda p: by_sample(lambda x: ops.tanh(layer(p, x)), x)  # noqa: E731
    np.testing.assert_array_equal(function(params), np.tanh(layer(params, x)))
    _, used = value_and_grad(lambda p: ops.sum(function(p)))(params)
    _, unused = value_and_grad(lambda p: masked(function(p)))(params)
    assert np.isnan(used["weight"]).any()
    assert np.isfinite(unused["weight"]).all()


def test_nan_that_the_loss_uses_is_not_hidden():
    """A sample of nan that contributes makes the gradient of what samples share nan: nothing is zeroed."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), OneStepGuess(), options=RECORD)
    params, x = drawn(deq), inputs(np.nan)
    found = deq(params, x)
    assert [each.label for each in found.status] == ["converged", "nonfinite", "converged", "converged"]
    _, gradient = value_and_grad(lambda p: ops.sum(deq(p, x).z))(params)
    assert all(np.isnan(leaf).any() for leaf in tree_leaves(gradient["cell"]))


@pytest.mark.parametrize(("sensitivity", "solver"), SENSITIVITIES, ids=str)
@pytest.mark.parametrize("batched", [(False, True), None], ids=["declared", "undeclared"])
def test_a_pullback_selects(sensitivity: Any, solver: Solver, batched: Any):
    """An infinite derivative, or z of nan, in a sample of zero cotangent contributes exactly zero to a shared input."""
    problem = FixedPointProblem(
        lambda z, a, b: ops.add(ops.multiply(a, ops.sqrt(ops.abs(z))), b), np.asarray(0.5), np.zeros((3, 2)),
        batched_inputs=batched,
    )  # fmt: skip
    z0 = np.array([[0.3, 0.3], [0.0, 0.0], [np.nan, 0.3]])
    solution = solve(problem, solver, z0, RECORD)
    cotangent = np.array([[1.0, -1.0], [0.0, 0.0], [0.0, 0.0]])
    one = FixedPointProblem(problem.f, np.asarray(0.5), np.zeros((1, 2)))
    with np.errstate(all="ignore"):
        found = sensitivity.pullback(problem, solution, cotangent).inputs
        expected = sensitivity.pullback(one, solve(one, solver, z0[:1], RECORD), cotangent[:1]).inputs
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-9)
    np.testing.assert_array_equal(found[1][1:], np.zeros((2, 2)))


def test_a_batch_without_cotangents_has_a_gradient_of_zeros():
    """Where the loss leaves out every sample, of which one or all are nan, the gradient is zero and nothing fails."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), OneStepGuess(), options=RECORD)
    params = drawn(deq)
    for x in (inputs(np.nan), np.full((4, 4), np.nan)):

        def loss(params: Any, x: np.ndarray = x) -> Any:
            return ops.sum(ops.where(np.zeros((4, 1), dtype=bool), deq(params, x).z, np.zeros((4, 1))))

        value, gradient = value_and_grad(loss)(params)
        assert value == 0
        assert not any(np.any(leaf != 0) for leaf in tree_leaves(gradient))


def test_a_gradient_can_leave_out_what_failed():
    """`gradient_of="converged"` is the gradient of a loss of the samples that converged; all is the default."""
    params = drawn(DeepEquilibrium(CELL, Picard()), scale=1.0)
    x = 3.0 * np.random.default_rng(6).standard_normal((6, 4))
    settings: Any = {"options": SolveOptions(rtol=1e-6, max_steps=12, on_failure="record")}
    converged = DeepEquilibrium(CELL, Picard(), **settings)(params, x).solution.converged
    assert 0 < converged.sum() < 6

    def gradient(rows: np.ndarray, **more: Any) -> Any:
        deq = DeepEquilibrium(CELL, Picard(), **settings, **more)
        return tree_leaves(value_and_grad(lambda p: ops.sum(deq(p, x[rows]).z))(params)[1])

    found, some = gradient(np.arange(6), gradient_of="converged"), gradient(np.flatnonzero(converged))
    for one, other in zip(found, some, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    every = gradient(np.arange(6))
    assert max(np.abs(one - other).max() for one, other in zip(found, every, strict=True)) > 1e-2
    with pytest.raises(ValueError, match="option 'gradient_of' expects one of 'all', 'converged', got 'good'"):
        DeepEquilibrium(CELL, Picard(), gradient_of="good")
