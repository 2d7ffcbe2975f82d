"""Equilibria inside equilibria, inside losses, and under the gradient of an inner problem."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import Picard, SolveOptions, Solver, fixed_point, ops, solve
from equilib.arrays.trees import tree_leaves, tree_map
from equilib.autodiff import linearize, value_and_grad
from equilib.layers import Chain, Dense
from equilib.models import DeepEquilibrium, InjectedCell
from equilib_anderson.solver import Anderson
from equilib_auto.solver import Auto
from equilib_broyden.full import Broyden
from equilib_newton_dense.solver import NewtonDense
from equilib_newton_gmres.solver import NewtonGMRES
from tests.models.derivatives import largest_error, slopes_by_differences
from tests.models.hessians import MODES, by_differences, drawn_like, gradient, inner, off
from tests.models.networks import TIGHT
from tests.models.small import CELL, batch, drawn

_rng = np.random.default_rng(8)
BATCH, OUTER, INNER = 3, 4, 2
THETA = {
    "C": 0.25 * _rng.standard_normal((INNER, OUTER)),
    "A": 0.2 * _rng.standard_normal((INNER, INNER)),
    "B": 0.3 * _rng.standard_normal((OUTER, INNER)),
    "u": 0.4 * _rng.standard_normal((BATCH, OUTER)),
}
OUTERS = [Picard(), Anderson(), NewtonGMRES(), NewtonDense(), Broyden(), Auto()]


def inside(y: Any, z: Any, theta: Any) -> Any:
    """Return tanh(y A + z B)."""
    return ops.tanh(ops.add(ops.matmul(y, theta["A"]), ops.matmul(z, theta["B"])))


def inner_state(z: Any, theta: Any) -> Any:
    """Return y*(z) = tanh(y* A + z B)."""
    return fixed_point(inside, np.zeros((BATCH, INNER)), z, theta, solver=NewtonGMRES(), options=TIGHT)


def outside(z: Any, theta: Any) -> Any:
    """Return tanh(y*(z) C + u)."""
    return ops.tanh(ops.add(ops.matmul(inner_state(z, theta), theta["C"]), theta["u"]))


def joint(both: Any, theta: Any) -> Any:
    """Return the right-hand sides of z and y at once, side by side."""
    z, y = ops.getitem(both, (..., slice(0, OUTER))), ops.getitem(both, (..., slice(OUTER, None)))
    of_z = ops.tanh(ops.add(ops.matmul(y, theta["C"]), theta["u"]))
    return ops.concat((of_z, inside(y, z, theta)), axis=1)


def nested_loss(theta: Any, solver: Solver = NewtonGMRES()) -> Any:  # noqa: B008 - a frozen dataclass
    """Return Σ sin(z*) of the equilibrium with another one in its f."""
    z0 = np.zeros((BATCH, OUTER))
    return ops.sum(ops.sin(fixed_point(outside, z0, theta, solver=solver, options=TIGHT, max_steps=200)))


def joint_by_newton(theta: Any) -> float:
    """Return the same of the joint system, by Newton's method with the dense matrix of its complex derivative."""
    both = np.zeros((BATCH, OUTER + INNER))

    def residual(both: np.ndarray) -> np.ndarray:
        z, y = both[:, :OUTER], both[:, OUTER:]
        return np.hstack([np.tanh(y @ theta["C"] + theta["u"]), np.tanh(y @ theta["A"] + z @ theta["B"])]) - both

    for _ in range(30):
        columns = [np.imag(residual(both + 1e-40j * unit)) * 1e40 for unit in np.eye(OUTER + INNER)]
        both = both - np.linalg.solve(np.stack(columns, axis=2), residual(both)[..., None])[..., 0]
    return float(np.sum(np.sin(both[:, :OUTER])))


@pytest.mark.parametrize("solver", OUTERS, ids=str)
def test_a_nest_has_the_gradient_of_the_joint_system(solver: Solver):
    """Every solver finds the outer state; value and gradient are those of the joint system, solved densely."""
    value, found = value_and_grad(nested_loss)(THETA, solver)
    assert value == pytest.approx(joint_by_newton(THETA), rel=1e-10)
    assert largest_error(found, slopes_by_differences(joint_by_newton, THETA)) < 1e-8


def test_a_nest_has_the_hessian_of_the_joint_system():
    """J·v and H·v by every nest of modes are those of one equilibrium of the joint state."""
    v = drawn_like(THETA)

    def flat(theta: Any) -> Any:
        z0 = np.zeros((BATCH, OUTER + INNER))
        both = fixed_point(joint, z0, theta, solver=NewtonGMRES(), options=TIGHT)
        return ops.sum(ops.sin(ops.getitem(both, (..., slice(0, OUTER)))))

    assert linearize(nested_loss, THETA).jvp(v) == pytest.approx(linearize(flat, THETA).jvp(v), rel=1e-9)
    expected = by_differences(flat, THETA, v)
    for multiply in MODES.values():
        hessian = multiply(flat, THETA, v)
        assert off(hessian, expected) < 1e-6
        assert off(multiply(nested_loss, THETA, v), hessian) < 1e-8


def test_a_model_is_a_layer_of_a_cell(rng: np.random.Generator):
    """A `DeepEquilibrium` in the recurrent layer of another: gradient and H·v agree with differences."""

    class Inner:
        """The equilibrium of an inner model, as a layer."""

        model = DeepEquilibrium(InjectedCell(Dense(5, 3), Dense(3, 3), Chain(ops.tanh)), NewtonGMRES(), options=TIGHT)
        after = Dense(3, 5)

        def init(self, rng: np.random.Generator) -> Any:
            params = {"model": self.model.init(rng), "after": self.after.init(rng)}
            return tree_map(lambda leaf: 0.7 * leaf.astype(float), params)

        def __call__(self, params: Any, z: Any) -> Any:
            return self.after(params["after"], self.model(params["model"], z).z)

    outer = DeepEquilibrium(InjectedCell(Dense(4, 5), Inner(), Chain(ops.tanh)), NewtonGMRES(), options=TIGHT)
    both = tree_map(lambda leaf: leaf.astype(float), outer.init(rng)), batch(rng)
    of = lambda both: ops.sum(ops.sin(outer(*both).z))  # noqa: E731
    assert largest_error(gradient(of)(both), slopes_by_differences(of, both)) < 1e-8
    v = drawn_like(both)
    assert off(MODES["forward over reverse"](of, both, v), by_differences(of, both, v)) < 1e-6


def energy(z: Any, theta: Any) -> Any:
    """Return ½‖z‖² − ½ Σ sin(z) u + Σ cos(y*(z)), of which the last holds an equilibrium."""
    half = ops.multiply(0.5, ops.sum(ops.multiply(z, z)))
    coupled = ops.multiply(0.5, ops.sum(ops.multiply(ops.sin(z), theta["u"])))
    return ops.add(ops.subtract(half, coupled), ops.sum(ops.cos(inner_state(z, theta))))


@pytest.mark.parametrize("solver", [Picard(), NewtonGMRES()], ids=str)
def test_the_minimum_of_an_energy_with_an_equilibrium_in_it(solver: Solver):
    """z ← z − ∇E(z)/2, E with y*(z) in it: the minimum, and its gradient and H·v, agree with differences."""

    def descent(z: Any, theta: Any) -> Any:
        return ops.subtract(z, ops.multiply(0.5, value_and_grad(lambda z: energy(z, theta))(z)[1]))

    def of(theta: Any) -> Any:
        options = SolveOptions(rtol=1e-12, max_steps=200)
        return ops.sum(ops.sin(fixed_point(descent, np.zeros((BATCH, OUTER)), theta, solver=solver, options=options)))

    theta = {name: THETA[name] for name in ("A", "B", "u")}
    assert largest_error(gradient(of)(theta), slopes_by_differences(of, theta)) < 1e-7
    v = drawn_like(theta)
    assert off(MODES["forward over reverse"](of, theta, v), by_differences(of, theta, v)) < 1e-6


DEQ = DeepEquilibrium(CELL, NewtonGMRES(), options=TIGHT)


def force_loss(params: Any, x: np.ndarray, target: np.ndarray) -> Any:
    """Return Σ (−∂E/∂x − target)² + E², E = Σ sin(z*(x))."""
    value, slope = value_and_grad(lambda x: ops.sum(ops.sin(DEQ(params, x).z)))(x)
    missing = ops.subtract(ops.negative(slope), target)
    return ops.add(ops.sum(ops.multiply(missing, missing)), ops.multiply(value, value))


def gradient_penalty(params: Any, x: np.ndarray, target: np.ndarray) -> Any:
    """Return the loss ‖z* W‖² and the penalty ‖∂loss/∂x‖²."""
    value, slope = value_and_grad(lambda x: inner(DEQ(params, x).z, DEQ(params, x).z))(x)
    return ops.add(value, ops.sum(ops.multiply(slope, slope)))


@pytest.mark.parametrize("of", [force_loss, gradient_penalty])
def test_losses_of_slopes_train(of: Any, rng: np.random.Generator):
    """Force losses and gradient penalties have the gradient of differences, and fall along it."""
    params, x, target = drawn(DEQ), batch(rng), 0.1 * batch(rng)
    value, found = value_and_grad(of)(params, x, target)
    assert largest_error(found, slopes_by_differences(lambda params: of(params, x, target), params)) < 1e-7
    for _ in range(20):
        params = tree_map(lambda p, g: p - 0.02 * g, params, value_and_grad(of)(params, x, target)[1])
    assert of(params, x, target) < 0.7 * value


def test_tangents_are_not_made_of_new_traces():
    """f is evaluated once for any number of products of one linearization, forward and in reverse."""
    seen: list[int] = []

    def f(z: Any, u: Any) -> Any:
        seen.append(1)
        return ops.tanh(ops.add(ops.matmul(z, 0.1 * np.ones((4, 4))), u))

    linear = linearize(lambda u: fixed_point(f, np.zeros((3, 4)), u, solver=NewtonGMRES()), THETA["u"])
    before = len(seen)
    for _ in range(5):
        linear.jvp(THETA["u"])
        linear.vjp(THETA["u"])
    assert len(seen) == before


def test_an_outer_solve_needs_no_calculus():
    """`solve` itself takes a map with an equilibrium in it, with a solver that asks for J·v."""
    found = solve(lambda z: outside(z, THETA), NewtonGMRES(), np.zeros((BATCH, OUTER)), TIGHT)
    assert found.success
    assert float(np.sum(np.sin(found.z))) == pytest.approx(joint_by_newton(THETA), rel=1e-10)
    assert tree_leaves(found.z)[0].dtype == np.float64
