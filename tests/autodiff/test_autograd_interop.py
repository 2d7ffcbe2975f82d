"""Users' own autograd code, and autograd's transforms, compose with ours on NumPy."""

from __future__ import annotations

from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.extend import defvjp
from autograd.extend import primitive as autograd_primitive
from autograd.test_util import check_grads

from equilib import ops
from equilib.autodiff import linearize, value_and_grad
from tests.arrays_under_test import distance


def users_code(x: Any) -> Any:
    """Return a function that a user of autograd would write: indexing, products, reductions."""
    y = anp.tanh(x[1:] * x[:-1]) + anp.sin(x[0])
    return anp.dot(y, anp.exp(-anp.cumsum(y))) + anp.sum(y[anp.array([0, 0, 1])] ** 2)


def test_our_gradient_of_users_code(rng: np.random.Generator):
    """`value_and_grad` of code on autograd.numpy gives autograd's gradient."""
    x = rng.standard_normal(5)
    value, grad = value_and_grad(users_code)(x)
    assert distance(value, users_code(x)) == 0
    assert distance(grad, autograd.grad(users_code)(x)) < 1e-15


def test_our_products_with_the_jacobian_of_users_code(rng: np.random.Generator):
    """`linearize` of code on autograd.numpy gives the rows and columns of autograd's Jacobian, repeatedly."""
    A, x = rng.standard_normal((3, 4)), rng.standard_normal(4)
    f = lambda x: anp.tanh(anp.einsum("ij,j->i", A, x)) * x[0]  # noqa: E731
    jacobian, linear = autograd.jacobian(f)(x), linearize(f, x)
    for _ in range(2):
        for k, v in enumerate(np.eye(4)):
            assert distance(linear.jvp(v), jacobian[:, k]) < 1e-14
        for k, w in enumerate(np.eye(3)):
            assert distance(linear.vjp(w)[0], jacobian[k]) < 1e-14


@pytest.mark.parametrize("rows", [2, 3])
def test_a_norm_keeps_its_dimensions_forward(rows: int, rng: np.random.Generator):
    """autograd's own product with the Jacobian of a norm forgets keepdims, which would broadcast to wrong numbers."""
    f = lambda z: z / (2 + anp.linalg.norm(z, axis=1, keepdims=True))  # noqa: E731
    z, v = rng.standard_normal((2, rows, 3))
    np.testing.assert_allclose(linearize(f, z).jvp(v), (f(z + 1e-6 * v) - f(z - 1e-6 * v)) / 2e-6, rtol=1e-7)


def test_users_code_and_operations_mix(rng: np.random.Generator):
    """Operations of both libraries follow each other in one function, on either side of an operator."""
    x = rng.standard_normal((2, 3))
    f = lambda x: anp.sum(ops.gelu(anp.sin(x)) * anp.exp(ops.tanh(x)) + 2.0 * x)  # noqa: E731
    check_grads(f, modes=["fwd", "rev"], order=2)(x)
    assert distance(value_and_grad(f)(x)[1], autograd.grad(f)(x)) == 0


def test_autograds_transforms_take_our_operations(rng: np.random.Generator):
    """Autograd's own checker accepts a network of our operations, forward and reverse, to second order."""
    x, weight = rng.standard_normal((2, 4, 4, 2)), rng.standard_normal((3, 3, 2, 2))

    def network(x: Any, weight: Any) -> Any:
        y = ops.group_norm(ops.conv2d(x, weight, (1, 1), ((1, 1), (1, 1))), 1)
        return ops.sum(ops.tanh(y + x))

    check_grads(network, modes=["fwd", "rev"], order=2)(x, weight)


def test_transforms_nest_either_way_round():
    """Autograd around ours, and ours around autograd, give the second derivative of Σ x³: 6x."""
    x = np.array([1.0, 2.0])
    cube = lambda x: ops.sum(x * x * x)  # noqa: E731
    theirs_outside = autograd.elementwise_grad(lambda x: value_and_grad(cube)(x)[1])(x)
    ours_outside = linearize(autograd.grad(cube), x).vjp(np.ones(2))[0]
    np.testing.assert_allclose(theirs_outside, 6 * x)
    np.testing.assert_allclose(ours_outside, 6 * x)


def test_locally_constant_functions_need_no_derivative():
    """Comparisons, signs and index searches of autograd.numpy are constants of a trace."""
    x = np.array([-2.0, 3.0])
    linear = linearize(lambda x: anp.where(x > 0, x, 0.5 * x) * anp.sign(x) * anp.argmax(x), x)
    assert linear.jvp(np.ones(2)).tolist() == [-0.5, 1.0]
    assert linear.vjp(np.ones(2))[0].tolist() == [-0.5, 1.0]


@autograd_primitive
def pulled_only(x: np.ndarray) -> np.ndarray:
    """Return 2x; a vjp is defined, a jvp is not."""
    return 2 * x


defvjp(pulled_only, lambda ans, x: lambda g: 2 * g)


@autograd_primitive
def underivable(x: np.ndarray) -> np.ndarray:
    """Return 2x; no derivative is defined."""
    return 2 * x


def test_an_operation_without_a_jvp_still_has_its_vjp():
    """What autograd cannot push, it may still pull; pushing says which operation is in the way."""
    linear = linearize(pulled_only, np.ones(2))
    np.testing.assert_array_equal(linear.vjp(np.ones(2))[0], [2.0, 2.0])
    with pytest.raises(NotImplementedError, match="no jvp for pulled_only"):
        linear.jvp(np.ones(2))


def test_an_operation_without_a_derivative_is_named():
    """An operation for which nobody defined a derivative raises when it is traced."""
    with pytest.raises(NotImplementedError, match="no derivative is defined for underivable"):
        linearize(underivable, np.ones(2))
