from __future__ import annotations

from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import autograd
import numpy as np
import pytest

from equilib import ConvergenceError, ImplicitAdjoint, JacobianFree, Picard, Solution, SolveOptions, Status, ops, solve
from equilib.autodiff import linearize, static_value, value_and_grad
from equilib.layers import Chain, Conv, Dense
from equilib.models import DeepEquilibrium, DEQChain, Equilibrium, InjectedCell, LayerGuess, OneStepGuess, ZeroGuess
from equilib.problem import FixedPointProblem
from equilib.protocols import Pullback
from equilib.trees import tree_leaves, tree_map
from equilib_newton_gmres.adjoint import GMRESAdjoint
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import lift, lower
from tests.models.networks import CONV, DENSE, TIGHT, dense_jacobian, gradient_by_differences, largest_difference, loss_of

CELL = InjectedCell(Dense(4, 5), Dense(5, 5), Chain(ops.tanh))


def drawn(deq: Any, scale: float = 0.5) -> Any:
    """Draw parameters in float64; the recurrent weights are scaled."""
    rng = np.random.default_rng(3)
    params = tree_map(lambda leaf: leaf + 0.1 * rng.standard_normal(leaf.shape), deq.init(rng))
    params["cell"]["recur"] = tree_map(lambda leaf: scale * leaf, params["cell"]["recur"])
    return params


def batch(rng: np.random.Generator) -> np.ndarray:
    """Draw inputs of the cell."""
    return rng.standard_normal((3, 4))


def by_hand(params: Any, z: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return f(z, x) = tanh(z W + b + (x U + c))."""
    inject, recur = params["cell"]["inject"], params["cell"]["recur"]
    return np.tanh(z @ recur["weight"] + recur["bias"] + (x @ inject["weight"] + inject["bias"]))


# --- cells and guesses


def test_the_cell_is_its_formula(rng: np.random.Generator):
    """step(z, inject(x)) = after(recur(z) + inject(x)), and `zeros` has the shape and dtype of the injection."""
    params, x, z = drawn(DeepEquilibrium(CELL, Picard())), batch(rng), rng.standard_normal((3, 5))
    u = CELL.inject(params["cell"], x)
    np.testing.assert_allclose(CELL.step(params["cell"], z, u), by_hand(params, z, x), rtol=1e-14)
    zeros = CELL.zeros(params["cell"], u.astype(np.float32))
    assert zeros.shape == (3, 5)
    assert zeros.dtype == np.float32
    assert not zeros.any()
    assert params["cell"].keys() == {"inject", "recur", "after"}


def test_initial_guesses(xp: ModuleType, rng: np.random.Generator):
    """deq starts at zero, regdeq at f(0, x), skipdeq at a layer's output; each says what it costs."""
    x = batch(rng)
    layer = Dense(4, 5)
    for guess, cost in ((ZeroGuess(), 0), (OneStepGuess(), 1), (LayerGuess(layer), 0)):
        params = drawn(DeepEquilibrium(CELL, NewtonGMRES(), guess))
        expected = {
            ZeroGuess: np.zeros((3, 5)),
            OneStepGuess: by_hand(params, np.zeros((3, 5)), x),
            LayerGuess: layer(params["initial_guess"], x) if cost == 0 and isinstance(guess, LayerGuess) else None,
        }[type(guess)]
        assert guess.nfe == cost
        found = DeepEquilibrium(CELL, NewtonGMRES(), guess, options=TIGHT)(lift(xp, params), lift(xp, x))
        np.testing.assert_allclose(lower(found.u0), expected, atol=1e-15)
        assert found.solution is not None
        np.testing.assert_array_equal(lower(found.solution.z0), lower(found.u0))
        assert found.nfe == cost + found.solution.nfe


def test_guesses_lead_to_the_same_fixed_point(rng: np.random.Generator):
    """On a contraction z* does not depend on where the solve starts."""
    x = batch(rng)
    found = []
    for guess in (ZeroGuess(), OneStepGuess(), LayerGuess(Dense(4, 5))):
        deq = DeepEquilibrium(CELL, NewtonGMRES(), guess, options=TIGHT)
        found.append(deq({**drawn(deq), "cell": drawn(DeepEquilibrium(CELL, Picard()))["cell"]}, x).z_star)
    np.testing.assert_allclose(found[1], found[0], atol=1e-12)
    np.testing.assert_allclose(found[2], found[0], atol=1e-12)


@dataclass(frozen=True)
class CountingCell:
    """A cell that notes its injections and its evaluations."""

    cell: InjectedCell
    calls: list[str]

    def init(self, rng: np.random.Generator) -> Any:
        """Draw the inner cell's parameters."""
        return self.cell.init(rng)

    def inject(self, params: Any, x: Any) -> Any:
        """Note it, and inject."""
        self.calls.append("inject")
        return self.cell.inject(params, x)

    def step(self, params: Any, z: Any, u: Any) -> Any:
        """Note it, and step."""
        self.calls.append("step")
        return self.cell.step(params, z, u)

    def zeros(self, params: Any, u: Any) -> Any:
        """Return zeros."""
        return self.cell.zeros(params, u)


@pytest.mark.parametrize("depth", [0, 4])
def test_the_injection_is_computed_once(depth: int, rng: np.random.Generator):
    """`inject` is called once per pass, `step` as often as `nfe` says, those of the guess included."""
    calls: list[str] = []
    deq = DeepEquilibrium(CountingCell(CELL, calls), NewtonGMRES(), OneStepGuess(), fixed_depth=depth)
    found = deq(drawn(deq), batch(rng))
    assert calls.count("inject") == 1
    assert calls.count("step") == found.nfe > 1


# --- the record


def test_the_record_is_that_of_the_solve(xp: ModuleType, rng: np.random.Generator):
    """z*, residual, statuses and counts are the solution's; without a backward pass there is no adjoint."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), options=TIGHT)
    params, x = drawn(deq), batch(rng)
    found = deq(lift(xp, params), lift(xp, x))
    assert isinstance(found.solution, Solution)
    assert found.status == found.solution.status == (Status.CONVERGED,) * 3
    np.testing.assert_array_equal(lower(found.z_star), lower(found.solution.z))
    np.testing.assert_array_equal(lower(found.residual), lower(found.solution.residual))
    np.testing.assert_allclose(by_hand(params, lower(found.z_star), x), lower(found.z_star), atol=1e-12)
    assert found.adjoints == []
    assert found.jacobian_loss is None
    assert found.solution.options == TIGHT


def test_failures_are_recorded_unless_asked_otherwise(rng: np.random.Generator):
    """By default samples that do not converge are a status, so that training goes on; `on_failure` changes that."""
    deq = DeepEquilibrium(CELL, Picard())
    params, x = drawn(deq), batch(rng)
    few = replace(deq, options=replace(deq.options, max_steps=1))
    assert deq.options.on_failure == "record"
    assert set(few(params, x).status) == {Status.MAX_STEPS}
    with pytest.raises(ConvergenceError, match="3 of 3 samples unconverged"):
        replace(few, options=SolveOptions(max_steps=1))(params, x)


def test_float32_parameters_give_a_float32_equilibrium_and_gradient(xp: ModuleType, rng: np.random.Generator):
    """Parameters as `init` draws them, and float32 data, give float32 everywhere."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), OneStepGuess(), jacobian_loss=True)
    params = lift(xp, deq.init(np.random.default_rng(0)))
    x = lift(xp, batch(rng), "float32")

    def loss(params: Any, x: Any) -> Any:
        found = deq(params, x, rng=np.random.default_rng(1))
        return ops.add(ops.sum(found.z_star), found.jacobian_loss)

    found = deq(params, x, rng=rng)
    value, grad = value_and_grad(lambda both: loss(*both))((params, x))
    for array in (found.z_star, found.u0, found.residual, found.jacobian_loss, value, *tree_leaves(grad)):
        assert array.dtype == xp.float32


def test_every_array_library_gives_the_same_gradient(xp: ModuleType):
    """The loss and its gradient on strict arrays are NumPy's."""
    for network in (DENSE, CONV):
        params, model = network.params("skipdeq"), network.model("skipdeq")
        value, grad = value_and_grad(lambda p, m=model, n=network: loss_of(m, p, lift(xp, n.x), lift(xp, n.y)))(lift(xp, params))
        expected, reference = value_and_grad(lambda p, m=model, n=network: loss_of(m, p, n.x, n.y))(params)
        assert float(value) == pytest.approx(float(expected), rel=1e-12)
        assert largest_difference(lower(grad), reference) < 1e-11


# --- what decides the backward pass


@pytest.mark.parametrize(
    ("solver", "sensitivity", "expected"),
    [
        (NewtonGMRES(restart=7), None, GMRESAdjoint(restart=7)),
        (Picard(), None, ImplicitAdjoint()),
        (NewtonGMRES(), JacobianFree(), JacobianFree()),
    ],
    ids=str,
)
def test_the_backward_pass_is_the_models_the_solvers_or_the_default(solver: Any, sensitivity: Any, expected: Any):
    """A sensitivity given to the model wins, then the one that suits the solver, then the implicit adjoint."""
    model, other = (DENSE.model(solver=solver, sensitivity=each) for each in (sensitivity, expected))
    one, two = (value_and_grad(lambda p, m=m: loss_of(m, p, DENSE.x, DENSE.y))(DENSE.params())[1] for m in (model, other))
    for a, b in zip(tree_leaves(one), tree_leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)


@dataclass(frozen=True)
class Recording:
    """A sensitivity that keeps what it is given."""

    seen: list[tuple[Any, ...]]

    def pullback(self, problem: FixedPointProblem, solution: Solution, cotangent: Any) -> Pullback:
        """Note the arguments; take w = g, and a cotangent of the guess."""
        self.seen.append((problem, solution, cotangent))
        return Pullback(inputs=problem.linearize(solution.z).inputs_vjp(cotangent), guess=7.0 * cotangent)


def test_a_sensitivity_sees_the_forward_solve(rng: np.random.Generator):
    """It gets the problem, the solution with the solver's last state, and dL/dz*; its guess cotangent reaches u0."""
    seen: list[tuple[Any, ...]] = []
    deq = DeepEquilibrium(CELL, NewtonGMRES(), LayerGuess(Dense(4, 5)), Recording(seen))
    params, x = drawn(deq), batch(rng)
    found = deq(params, x)
    _, grad = value_and_grad(lambda p: ops.sum(ops.multiply(deq(p, x).z_star, 2.0)))(params)
    ((problem, solution, cotangent),) = seen
    np.testing.assert_array_equal(solution.z, found.z_star)
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
    return ops.sum(found.z_star), found


def test_autograd_itself_differentiates_the_equilibrium(rng: np.random.Generator):
    """autograd.grad goes through the same pullback."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), options=TIGHT)
    params, x = drawn(deq), batch(rng)
    loss = lambda x: ops.sum(deq(params, x).z_star)  # noqa: E731
    np.testing.assert_allclose(autograd.grad(loss)(x), value_and_grad(loss)(x)[1], rtol=1e-12)


# --- what is not available


def test_second_derivatives_are_refused_with_a_way_out(rng: np.random.Generator):
    """Reverse over reverse and forward over reverse raise, where a silent zero or a wrong number would be easy."""
    deq = DeepEquilibrium(CELL, NewtonGMRES())
    params, x = drawn(deq), batch(rng)
    loss = lambda x: ops.sum(ops.multiply(deq(params, x).z_star, deq(params, x).z_star))  # noqa: E731
    gradient = lambda x: value_and_grad(loss)(x)[1]  # noqa: E731
    with pytest.raises(NotImplementedError, match="second derivatives through an equilibrium .* fixed depth"):
        value_and_grad(lambda x: ops.sum(gradient(x)))(x)
    with pytest.raises(NotImplementedError, match="second derivatives through an equilibrium .* fixed depth"):
        linearize(gradient, x)
    with pytest.raises(NotImplementedError, match="no forward-mode derivative here; use vjp or value_and_grad"):
        linearize(loss, x).jvp(x)


def test_a_cell_that_forgets_its_state_is_refused(rng: np.random.Generator):
    """f that does not depend on z has no equilibrium to differentiate: an error, not a zero."""
    deq = DeepEquilibrium(InjectedCell(Dense(4, 5), Chain(lambda z: np.zeros((3, 5))), Chain(ops.tanh)), Picard())
    params, x = drawn(deq), batch(rng)
    with pytest.raises(ValueError, match="does not depend on"):
        value_and_grad(lambda p: ops.sum(deq(p, x).z_star))(params["cell"] and params)


def test_a_negative_depth_is_refused():
    """A depth is zero, for an equilibrium, or positive."""
    with pytest.raises(ValueError, match="fixed_depth must not be negative, got -1"):
        DeepEquilibrium(CELL, Picard(), fixed_depth=-1)


# --- fixed depth


@pytest.mark.parametrize("guess", [ZeroGuess(), OneStepGuess(), LayerGuess(Dense(4, 5))], ids=str)
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_fixed_depth_is_the_loop(guess: Any, depth: int, rng: np.random.Generator):
    """z ← f(z, u) `depth` times from the guess, bit for bit, and the record is that of the last step."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), guess).unrolled(depth)
    params, x = drawn(deq), batch(rng)
    found = deq(params, x)
    u = CELL.inject(params["cell"], x)
    iterates = [found.u0]
    for _ in range(depth):
        iterates.append(CELL.step(params["cell"], iterates[-1], u))
    np.testing.assert_array_equal(found.z_star, iterates[-1])
    np.testing.assert_array_equal(found.residual, iterates[-1] - iterates[-2])
    np.testing.assert_allclose(found.residual_norm, np.sqrt(np.mean(found.residual**2, axis=1)), rtol=1e-14)
    assert found.nfe == depth + guess.nfe
    assert found.solution is None
    assert set(found.status) <= {Status.MAX_STEPS, Status.CONVERGED}


def test_a_fixed_depth_injects_at_every_step(rng: np.random.Generator):
    """Each iteration sees x, as in NumPy's own formula; a loop that injects once ends elsewhere."""
    deq = DeepEquilibrium(CELL, Picard()).unrolled(5)
    params, x = drawn(deq), batch(rng)
    found, z, once = deq(params, x).z_star, np.zeros((3, 5)), np.zeros((3, 5))
    for k in range(5):
        z = by_hand(params, z, x)
        once = by_hand(params, once, x if k == 0 else np.zeros_like(x))
    np.testing.assert_allclose(found, z, rtol=1e-13)
    assert np.max(np.abs(found - once)) > 0.1


def test_a_fixed_depth_tells_whether_it_converged(rng: np.random.Generator):
    """The statuses are those of the last step by the usual test: a deep loop on a contraction has converged."""
    deq = DeepEquilibrium(CELL, Picard(), options=SolveOptions(rtol=1e-6, on_failure="record"))
    params, x = drawn(deq), batch(rng)
    assert set(deq.unrolled(2)(params, x).status) == {Status.MAX_STEPS}
    assert set(deq.unrolled(60)(params, x).status) == {Status.CONVERGED}
    ill = x.copy()
    ill[1] = np.nan
    statuses = deq.unrolled(60)(params, ill).status
    assert statuses == (Status.CONVERGED, Status.NONFINITE, Status.CONVERGED)


@pytest.mark.parametrize("network", [DENSE, CONV], ids=str)
@pytest.mark.parametrize("guess", ["regdeq", "skipdeq"])
def test_the_gradient_of_a_fixed_depth_is_that_of_the_loop(network: Any, guess: str):
    """It agrees with central differences for every parameter and the input."""
    model, params = network.model(guess).unrolled(3), network.params(guess)
    both = (params, network.x)
    grad = value_and_grad(lambda each: loss_of(model, *each, network.y))(both)[1]
    assert largest_difference(grad, gradient_by_differences(lambda each: loss_of(model, *each, network.y), both)) < 1e-6


def test_a_fixed_depth_has_second_derivatives(rng: np.random.Generator):
    """What an equilibrium refuses, a fixed depth gives: the Hessian's products agree with differences of gradients."""
    deq = DeepEquilibrium(CELL, Picard()).unrolled(4)
    params, x, v = drawn(deq), batch(rng), batch(rng)
    gradient = lambda x: value_and_grad(lambda x: ops.sum(deq(params, x).z_star))(x)[1]  # noqa: E731
    product = linearize(gradient, x).jvp(v)
    h = 1e-5
    np.testing.assert_allclose(product, (gradient(x + h * v) - gradient(x - h * v)) / (2 * h), atol=1e-8)


def test_a_chain_is_its_parts(rng: np.random.Generator):
    """before → equilibrium → after, the prediction beside the record, at a fixed depth too."""
    model = DENSE.model("regdeq")
    params = DENSE.params("regdeq")
    assert params.keys() == {"before", "deq", "after"}
    for each in (model, model.unrolled(2)):
        assert isinstance(each, DEQChain)
        prediction, equilibrium = each(params, DENSE.x)
        inner = each.deq(params["deq"], each.before(params["before"], DENSE.x))
        np.testing.assert_array_equal(equilibrium.z_star, inner.z_star)
        np.testing.assert_array_equal(prediction, each.after(params["after"], inner.z_star))
    assert model.unrolled(2).deq.fixed_depth == 2
    estimating = replace(model, deq=replace(model.deq, jacobian_loss=True))
    assert float(estimating(params, DENSE.x, rng=rng)[1].jacobian_loss) > 0


# --- the Jacobian's norm


def with_estimate(depth: int = 0) -> tuple[DeepEquilibrium, Any]:
    """Return a model whose state has another shape than its input, and estimates ‖J‖²."""
    cell = InjectedCell(Conv(1, 2, (3, 3), stride=2), Conv(2, 2, (3, 3), padding="same"), Chain(ops.tanh))
    deq = DeepEquilibrium(cell, NewtonGMRES(), OneStepGuess(), options=TIGHT, fixed_depth=depth, jacobian_loss=True)
    return deq, drawn(deq)


@pytest.mark.parametrize("depth", [0, 3])
def test_the_estimate_is_that_of_hutchinson(depth: int, rng: np.random.Generator):
    """With v from the generator it is ‖Jᵀv‖² / size, by the dense J at z*; x and z may have different shapes."""
    deq, params = with_estimate(depth)
    x = rng.standard_normal((2, 5, 7, 1))
    found = deq(params, x, rng=np.random.default_rng(8))
    assert found.z_star.shape == (2, 2, 3, 2)
    u = deq.cell.inject(params["cell"], x)
    J = dense_jacobian(lambda z: deq.cell.step(params["cell"], z, u), found.z_star)
    v = np.random.default_rng(8).standard_normal(found.z_star.shape).ravel()
    assert float(found.jacobian_loss) == pytest.approx(np.sum((J.T @ v) ** 2) / v.size, rel=1e-12)


def test_the_estimate_is_right_on_average():
    """Its mean over many v is ‖J‖²_F / size of one sample, whatever the batch: here one sample, many times over."""
    deq, params = with_estimate()
    copies = 3000
    x = np.random.default_rng(0).standard_normal((1, 5, 7, 1))
    one = deq(params, x, rng=np.random.default_rng(1))
    u = deq.cell.inject(params["cell"], x)
    J = dense_jacobian(lambda z: deq.cell.step(params["cell"], z, u), one.z_star)
    exact = np.sum(J**2) / one.z_star.size
    estimate = float(deq(params, np.repeat(x, copies, axis=0), rng=np.random.default_rng(2)).jacobian_loss)
    # For normal v the variance of ‖Jᵀv‖² is 2‖J Jᵀ‖²_F.
    deviation = np.sqrt(2 * np.sum((J @ J.T) ** 2) / copies) / one.z_star.size
    assert abs(estimate - exact) < 4 * deviation
    assert deviation < 0.03 * exact


@pytest.mark.parametrize("depth", [0, 3])
def test_the_estimate_is_differentiable(depth: int, rng: np.random.Generator):
    """With the same random numbers its gradient, through z* too, agrees with central differences."""
    deq, params = with_estimate(depth)
    x = rng.standard_normal((2, 5, 5, 1))
    loss = lambda both: deq(*both, rng=np.random.default_rng(4)).jacobian_loss  # noqa: E731
    grad = value_and_grad(loss)((params, x))[1]
    assert largest_difference(grad, gradient_by_differences(loss, (params, x))) < 1e-6
    assert float(np.max(np.abs(grad[1]))) > 1e-4, "the estimate depends on x through z*"


def test_the_estimate_needs_random_numbers(rng: np.random.Generator):
    """Without a generator it is refused, rather than drawn from a hidden one; another generator gives another one."""
    deq, params = with_estimate()
    x = rng.standard_normal((1, 5, 5, 1))
    with pytest.raises(ValueError, match=r"needs random numbers: pass rng=\.\.\."):
        deq(params, x)
    first, again, other = (float(deq(params, x, rng=np.random.default_rng(seed)).jacobian_loss) for seed in (1, 1, 2))
    assert first == again != other


def test_the_solve_of_a_model_is_a_solve(rng: np.random.Generator):
    """z* is bit for bit what `solve` finds for f(z) = step(z, inject(x)) with the same solver and options."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(restart=3))
    params, x = drawn(deq), batch(rng)
    u = CELL.inject(params["cell"], x)
    solution = solve(lambda z: CELL.step(params["cell"], z, u), deq.solver, np.zeros((3, 5)), deq.options)
    found = deq(params, x)
    np.testing.assert_array_equal(static_value(found.z_star), solution.z)
    assert found.nfe == solution.nfe
