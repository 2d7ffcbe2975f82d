"""Derivatives of derivatives, by any nesting of the transforms."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from equilib import ops
from equilib.autodiff import jvp, linearize, stop_gradient, value_and_grad, vjp
from tests.arrays_under_test import constant_like, distance, lift, lower


def cell(z: Any, weight: Any) -> Any:
    """Return tanh(z W): a cell whose Jacobian depends on the state and the weight."""
    return ops.tanh(ops.matmul(z, weight))


def test_gradient_of_the_jacobian_regularizer(xp: ModuleType, rng: np.random.Generator):
    """The gradient of ‖Jᵀv‖² with respect to state and weight agrees with central differences."""
    z, weight, v = rng.standard_normal((2, 3)), rng.standard_normal((3, 3)), rng.standard_normal((2, 3))

    def penalty(point: Any) -> Any:
        (pulled,) = linearize(cell, *point).vjp(constant_like(v, point[0]))
        return ops.sum(pulled * pulled)

    value, grads = value_and_grad(penalty)(lift(xp, (z, weight)))
    slope = 1 - np.tanh(z @ weight) ** 2
    assert distance(value, np.sum(((v * slope) @ weight.T) ** 2)) < 1e-14
    step = 1e-5
    for k, part in enumerate((z, weight)):
        expected = np.empty_like(part)
        for index in np.ndindex(part.shape):
            ends = []
            for sign in (1, -1):
                point = [z.copy(), weight.copy()]
                point[k][index] += sign * step
                ends.append(penalty(tuple(point)))
            expected[index] = (ends[0] - ends[1]) / (2 * step)
        assert distance(grads[k], expected) < 1e-8


def test_gradient_of_a_forward_product(xp: ModuleType, rng: np.random.Generator):
    """J·v can be differentiated: for Σ x³, the gradient of ⟨∇, v⟩ is 6 x v."""
    x, v = rng.standard_normal((2, 4))
    lifted = lift(xp, v)
    _, grad = value_and_grad(lambda x: jvp(lambda y: ops.sum(y * y * y), (x,), (lifted,))[1])(lift(xp, x))
    assert distance(grad, 6 * x * v) < 1e-14


def test_third_derivative():
    """Three nested gradients of sin are −cos."""

    def grad(f: Any) -> Any:
        return lambda x: value_and_grad(f)(x)[1]

    x = np.asarray(0.7)
    assert distance(grad(grad(grad(ops.sin)))(x), -np.cos(x)) < 1e-15


def test_the_inner_derivative_belongs_to_the_inner_variable(xp: ModuleType):
    """∂/∂x [x · ∂/∂y (x y)] is 2x: an inner transform does not confuse its variable with the outer one."""
    x = lift(xp, np.asarray(3.0))

    def outer(x: Any) -> Any:
        _, inner = value_and_grad(lambda y: x * y)(x)
        return x * inner

    assert lower(value_and_grad(outer)(x)[1]) == 6.0


def test_an_inner_function_may_return_the_outer_variable():
    """What an inner function returns of the outer trace is a constant of the inner one, and stays traced outside."""

    def outer(x: Any) -> Any:
        inner = linearize(lambda y: (y * 3.0, x), np.ones(2))
        first, second = inner.jvp(np.ones(2))
        assert (first.tolist(), second.tolist()) == ([3.0, 3.0], [0.0, 0.0])
        assert inner.vjp((np.ones(2), np.ones(2)))[0].tolist() == [3.0, 3.0]
        return ops.sum(inner.value[1] * 5.0)

    assert value_and_grad(outer)(np.ones(2))[1].tolist() == [5.0, 5.0]


def test_a_linearization_made_outside_is_linear_inside():
    """A pullback that was made before the trace is a constant linear map in it."""
    _, pullback = vjp(lambda x: x * x, np.array([3.0, 4.0]))
    _, grad = value_and_grad(lambda w: ops.sum(pullback(w)[0] * pullback(w)[0]))(np.array([1.0, 2.0]))
    np.testing.assert_allclose(grad, [2 * 36.0, 2 * 64.0 * 2.0])


def test_stop_gradient_stops_every_trace():
    """A stopped array is a constant of the outer derivative, too."""

    def outer(x: Any) -> Any:
        _, inner = value_and_grad(lambda y: ops.sum(y * y * stop_gradient(x)))(x)
        return ops.sum(inner)

    assert value_and_grad(outer)(np.asarray(5.0))[1] == 10.0
