from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, ClassVar

import autograd
import numpy as np
import pytest

from equilib import (
    ConvergenceError,
    ImplicitAdjoint,
    JacobianFree,
    Picard,
    Solution,
    Status,
    Unrolled,
    ops,
    solve,
)
from equilib.adjoints.sensitivity import Needs, Pullback
from equilib.arrays.trees import named_leaves, tree_leaves
from equilib.autodiff import IndependentError, linearize, static_value, value_and_grad
from equilib.fixed_points.solution import ConvergenceWarning
from equilib.layers import Chain, Dense
from equilib.models import DeepEquilibrium, DEQChain, Equilibrium, InjectedCell, LayerGuess, OneStepGuess
from equilib.numerics.gmres import GMRES
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import lift, lower
from tests.models.networks import (
    CONV,
    DENSE,
    TIGHT,
    gradient,
    largest_difference,
    loss_of,
)
from tests.models.small import CELL, batch, by_hand, drawn
from tests.names import named

# --- the record


def test_the_record_is_that_of_the_solve(xp: ModuleType, rng: np.random.Generator):
    """z*, residual, statuses and counts are the solution's; without a backward pass there is no adjoint."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), options=TIGHT)
    params, x = drawn(deq), batch(rng)
    found = deq(lift(xp, params), lift(xp, x))
    assert isinstance(found.solution, Solution)
    assert found.status == found.solution.status == (Status.CONVERGED,) * 3
    np.testing.assert_array_equal(lower(found.z), lower(found.solution.z))
    np.testing.assert_array_equal(lower(found.residual), lower(found.solution.residual))
    np.testing.assert_allclose(by_hand(params, lower(found.z), x), lower(found.z), atol=1e-12)
    assert found.adjoints == []
    assert found.jacobian_loss is None
    assert found.solution.options == TIGHT


def test_failures_are_warned_about_unless_asked_otherwise(rng: np.random.Generator):
    """By default samples that do not converge are a status and a warning; `on_failure` changes that."""
    deq = DeepEquilibrium(CELL, Picard())
    params, x = drawn(deq), batch(rng)
    few = replace(deq, options=replace(deq.options, max_steps=1))
    with pytest.warns(ConvergenceWarning, match="3 of 3 samples unconverged"):
        assert set(few(params, x).status) == {Status.MAX_STEPS}
    for policy in ("raise", "record"):
        strict = replace(few, options=replace(few.options, on_failure=policy))
        with pytest.raises(ConvergenceError) if policy == "raise" else nullcontext():
            strict(params, x)


def test_float32_parameters_give_a_float32_equilibrium_and_gradient(xp: ModuleType, rng: np.random.Generator):
    """Parameters as `init` draws them, and float32 data, give float32 everywhere."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), OneStepGuess(), jacobian_loss=True)
    params = lift(xp, deq.init(np.random.default_rng(0)))
    x = lift(xp, batch(rng), "float32")

    def loss(params: Any, x: Any) -> Any:
        found = deq(params, x, rng=np.random.default_rng(1))
        return ops.add(ops.sum(found.z), found.jacobian_loss)

    found = deq(params, x, rng=rng)
    value, grad = value_and_grad(lambda both: loss(*both))((params, x))
    for array in (found.z, found.z0, found.residual, found.jacobian_loss, value, *tree_leaves(grad)):
        assert array.dtype == xp.float32


def test_every_array_library_gives_the_same_gradient(xp: ModuleType):
    """The loss and its gradient on strict arrays are NumPy's."""
    for network in (DENSE, CONV):
        params, model = network.params("skipdeq"), network.model("skipdeq")
        value, grad = value_and_grad(lambda p, m=model, n=network: loss_of(m, p, lift(xp, n.x), lift(xp, n.y)))(
            lift(xp, params)
        )
        expected, reference = value_and_grad(lambda p, m=model, n=network: loss_of(m, p, n.x, n.y))(params)
        assert float(value) == pytest.approx(float(expected), rel=1e-12)
        assert largest_difference(lower(grad), reference) < 1e-11


def test_the_solve_of_a_model_is_a_solve(rng: np.random.Generator):
    """z* is bit for bit what `solve` finds for f(z) = step(z, inject(x)) with the same solver and options."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(GMRES(3)))
    params, x = drawn(deq), batch(rng)
    u = CELL.inject(params["cell"], x)
    solution = solve(lambda z: CELL.step(params["cell"], z, u), deq.solver, np.zeros((3, 5)), deq.options)
    found = deq(params, x)
    np.testing.assert_array_equal(static_value(found.z), solution.z)
    assert found.nfe == solution.nfe


def test_a_chain_is_its_parts(rng: np.random.Generator):
    """It is before → equilibrium → after, the prediction beside the record, at a fixed depth too."""
    model = DENSE.model("regdeq")
    params = DENSE.params("regdeq")
    assert params.keys() == {"before", "deq", "after"}
    for each in (model, model.unrolled(2)):
        assert isinstance(each, DEQChain)
        prediction, equilibrium = each(params, DENSE.x)
        inner = each.deq(params["deq"], each.before(params["before"], DENSE.x))
        np.testing.assert_array_equal(equilibrium.z, inner.z)
        np.testing.assert_array_equal(prediction, each.after(params["after"], inner.z))
    assert model.unrolled(2).deq.fixed_depth == 2
    estimating = replace(model, deq=replace(model.deq, jacobian_loss=True))
    assert float(estimating(params, DENSE.x, rng=rng)[1].jacobian_loss) > 0


# --- what decides the backward pass


@pytest.mark.parametrize(
    ("solver", "sensitivity", "expected"),
    [
        (NewtonGMRES(GMRES(7)), None, ImplicitAdjoint(linear_solver=GMRES(7))),
        (Picard(), None, ImplicitAdjoint()),
        (NewtonGMRES(), JacobianFree(), JacobianFree()),
    ],
    ids=str,
)
def test_the_backward_pass_is_the_models_the_solvers_or_the_default(solver: Any, sensitivity: Any, expected: Any):
    """A sensitivity given to the model wins, then the one that suits the solver, then the implicit adjoint."""
    (one, x, record), (two, y, other) = (
        gradient(DENSE, DENSE.model(solver=solver, sensitivity=each), DENSE.params())
        for each in (sensitivity, expected)
    )
    for a, b in zip(tree_leaves((one, x)), tree_leaves((two, y)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [each.solver for each in record.adjoints] == [each.solver for each in other.adjoints]


@dataclass(frozen=True)
class Recording:
    """A sensitivity that keeps what it is given."""

    needs: ClassVar[Needs] = Needs()

    seen: list[tuple[Any, ...]]

    def pullback(self, problem: Any, solution: Any, cotangent: Any, *, guess: Any = None) -> Pullback[Solution]:
        """Note the arguments; take w = g, and a cotangent of the guess."""
        self.seen.append((problem, solution, cotangent))
        return Pullback(inputs=problem.linearize(solution.z).inputs_vjp(cotangent), start=7.0 * cotangent)


def test_a_sensitivity_sees_the_forward_solve(rng: np.random.Generator):
    """It gets the problem, the solution with the solver's last state, and dL/dz*; its guess cotangent reaches z0."""
    seen: list[tuple[Any, ...]] = []
    deq = DeepEquilibrium(CELL, NewtonGMRES(), LayerGuess(Dense(4, 5)), Recording(seen))
    params, x = drawn(deq), batch(rng)
    found = deq(params, x)
    _, grad = value_and_grad(lambda p: ops.sum(ops.multiply(deq(p, x).z, 2.0)))(params)
    ((problem, solution, cotangent),) = seen
    np.testing.assert_array_equal(solution.z, found.z)
    assert solution.state.linear is not None
    np.testing.assert_array_equal(cotangent, np.full((3, 5), 2.0))
    np.testing.assert_allclose(problem(solution.z), by_hand(params, solution.z, x), rtol=1e-14)
    np.testing.assert_allclose(grad["initial_guess"]["bias"], np.full(5, 3 * 14.0))


def test_a_backward_pass_is_one_adjoint_solve(rng: np.random.Generator):
    """However many parameters there are, the transposed system is solved once."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), OneStepGuess())
    params, x = drawn(deq), batch(rng)
    _, equilibrium = value_and_grad(lambda p: _sum_and_record(deq, p, x), has_aux=True)(params)[0]
    assert len(equilibrium.adjoints) == 1


def _sum_and_record(deq: DeepEquilibrium, params: Any, x: Any) -> tuple[Any, Equilibrium]:
    found = deq(params, x)
    return ops.sum(found.z), found


@dataclass(frozen=True)
class Series:
    """Two products Jᵀ·w, of which nothing is reported, as the protocol allows."""

    needs: ClassVar[Needs] = Needs()

    def pullback(self, problem: Any, solution: Solution, cotangent: Any, *, guess: Any = None) -> Pullback[Solution]:
        """Take w = g + Jᵀ(g + Jᵀg)."""
        linear = problem.linearize(solution.z)
        return Pullback(inputs=linear.inputs_vjp(cotangent + linear.vjp(cotangent + linear.vjp(cotangent))))


def test_products_that_no_solve_reports_are_counted_all_the_same(rng: np.random.Generator):
    """Tables compare adjoints by Jᵀ·w; a sensitivity that solves no equation is counted where f is evaluated."""
    counts = {}
    for sensitivity in (Series(), JacobianFree(), ImplicitAdjoint()):
        deq = DeepEquilibrium(CELL, NewtonGMRES(), sensitivity=sensitivity, options=TIGHT)
        params, x, kept = drawn(deq), batch(rng), []

        def loss(params: Any, deq: Any = deq, x: Any = x, kept: list[Any] = kept) -> Any:
            kept.append(deq(params, x))
            return ops.sum(kept[-1].z)

        value_and_grad(loss)(params)
        counts[type(sensitivity)] = kept[-1].adjoint_nvjp, sum(each.nfe + each.njvp for each in kept[-1].adjoints)
    assert counts[Series] == (2, 0)
    assert counts[JacobianFree] == (0, 0)
    assert counts[ImplicitAdjoint][0] == counts[ImplicitAdjoint][1] > 2


def test_autograd_itself_differentiates_the_equilibrium(rng: np.random.Generator):
    """autograd.grad goes through the same pullback."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), options=TIGHT)
    params, x = drawn(deq), batch(rng)
    loss = lambda x: ops.sum(deq(params, x).z)  # noqa: E731
    np.testing.assert_allclose(autograd.grad(loss)(x), value_and_grad(loss)(x)[1], rtol=1e-12)


# --- what is not available


def test_an_approximate_adjoint_has_first_derivatives_only(rng: np.random.Generator):
    """Forward mode, reverse over reverse and forward over reverse raise, and name the adjoint and others that do it."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), sensitivity=JacobianFree())
    params, x = drawn(deq), batch(rng)
    loss = lambda x: ops.sum(ops.multiply(deq(params, x).z, deq(params, x).z))  # noqa: E731
    gradient = lambda x: value_and_grad(loss)(x)[1]  # noqa: E731
    for derivative in (
        lambda: value_and_grad(lambda x: ops.sum(gradient(x)))(x),
        lambda: linearize(gradient, x),
        lambda: linearize(loss, x).jvp(x),
    ):
        with pytest.raises(NotImplementedError, match=r"JacobianFree has first derivatives .* take ImplicitAdjoint"):
            derivative()


def test_a_cell_that_forgets_its_state_is_an_explicit_layer(rng: np.random.Generator):
    """Where f does not depend on z the fixed point is f(x), with its gradient."""
    deq = DeepEquilibrium(InjectedCell(Dense(4, 5), Chain(lambda z: np.zeros((3, 5))), Chain(ops.tanh)), Picard())
    params, x = drawn(deq), batch(rng)
    value, gradient = value_and_grad(lambda p: ops.sum(deq(p, x).z))(params)
    layer = lambda own: ops.sum(ops.tanh(Dense(4, 5)(own, x)))  # noqa: E731
    expected, found = value_and_grad(layer)(params["cell"]["inject"])
    assert value == pytest.approx(expected)
    for name, leaf in found.items():
        np.testing.assert_allclose(gradient["cell"]["inject"][name], leaf, rtol=1e-12)


@dataclass(frozen=True)
class Careless(InjectedCell):
    """A cell with a parameter that it does not use."""

    def init(self, rng: np.random.Generator) -> Any:
        """Draw the parameters, and one more."""
        return {**super().init(rng), "spare": np.ones(2)}


@pytest.mark.parametrize("depth", [{}, {"fixed_depth": 3}, {"fixed_depth": 3, "checkpoints": 2}], ids=str)
@pytest.mark.parametrize("sensitivity", [ImplicitAdjoint(), JacobianFree(), Unrolled(3)], ids=named)
def test_a_parameter_that_the_cell_leaves_unused_is_named(sensitivity: Any, depth: Any, rng: np.random.Generator):
    """It is an error however the backward pass is done; who allows it gets the gradient zero, and the others theirs."""
    cell = Careless(Dense(4, 5), Dense(5, 5), Chain(ops.tanh))
    deq = DeepEquilibrium(cell, Picard(), sensitivity=sensitivity, **depth)
    params, x = drawn(deq), batch(rng)
    params["cell"]["recur"]["weight"] *= 0.3
    loss = lambda p: ops.sum(deq(p, x).z)  # noqa: E731
    with pytest.raises(IndependentError, match=r"does not depend on argument 0 at 'cell/spare': .*allow_unused=True"):
        value_and_grad(loss)(params)
    _, gradient = value_and_grad(loss, allow_unused=True)(params)
    np.testing.assert_array_equal(gradient["cell"].pop("spare"), 0)
    assert all(np.any(leaf) for _, leaf in named_leaves(gradient))


def test_a_negative_depth_is_refused():
    """A depth is zero, for an equilibrium, or positive."""
    with pytest.raises(ValueError, match="option 'fixed_depth' expects an int >= 0, got -1"):
        DeepEquilibrium(CELL, Picard(), fixed_depth=-1)
