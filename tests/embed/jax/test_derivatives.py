"""Derivatives of fixed points in JAX: of all solvers and adjoints, against differences and a traced loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

import equilib
from equilib import Unrolled
from equilib.errors import NoDerivativeError
from tests.embed.jax.cells import TIGHT, close, drawn, f, iterated

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp  # noqa: E402

from equilib.jax import equilibrium, fixed_point  # noqa: E402

SOLVERS = ("anderson", "auto", "broyden", "lbroyden", "newton-dense", "newton-gmres", "picard", "dfsane")
EXACT = ("implicit", "ode-adjoint", "implicit:solver=anderson", "implicit:linear_solver=bicgstab", Unrolled(depth=80))
APPROXIMATE = (("lbroyden", "shine"), ("picard", "jacobian-free"), ("picard", "neumann"))


def given(weight: Any, x: Any, **how: Any) -> Any:
    """Return the fixed point of f with its inputs given."""
    return fixed_point(f, jnp.zeros_like(x), weight, x, **{**TIGHT, **how})


def closed(weight: Any, x: Any, **how: Any) -> Any:
    """Return the fixed point of a function that closes over its inputs, and over what was computed from one."""
    injection = 0.5 * (x + x)
    return fixed_point(lambda z: f(z, weight, injection), jnp.zeros_like(x), **{**TIGHT, **how})


def loss(layer: Callable[..., Any], weight: Any, x: Any) -> Any:
    """Return a number that depends on all elements in different ways."""
    return jnp.sum(jnp.cos(jnp.arange(x.size).reshape(x.shape)) * layer(weight, x) ** 2)


@cache
def exact() -> tuple[Any, Any]:
    """Return the gradient of the loss, and its derivative along its inputs, by differentiated iterations."""
    gradient = jax.jit(jax.grad(partial(loss, iterated), argnums=(0, 1)))
    return gradient(*drawn()), jax.jvp(gradient, drawn(), drawn())[1]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("layer", [given, closed])
def test_first_derivatives(layer: Callable[..., Any], solver: str):
    """Cotangents and tangents of what f is given, and of what it closes over, are those of a differentiated loop."""
    layer = partial(layer, solver=solver)
    gradient = jax.grad(partial(loss, layer), argnums=(0, 1))(*drawn())
    assert close(gradient, exact()[0])
    _, tangent = jax.jvp(partial(loss, layer), drawn(), drawn())
    assert close(tangent, sum(jnp.vdot(bar, v) for bar, v in zip(gradient, drawn(), strict=True)))


def test_first_derivatives_are_those_of_differences():
    """The gradient is that of central differences, as is the derivative of the gradient."""
    weight, x = drawn()
    for value, change in ((partial(loss, given), None), (jax.grad(partial(loss, given)), None)):
        _, tangent = jax.jvp(value, (weight, x), (weight, x))
        step = 1e-5
        ahead, behind = (value(weight * (1 + s), x * (1 + s)) for s in (step, -step))
        assert close(tangent, (ahead - behind) / (2 * step), 1e-7), change


@pytest.mark.parametrize("adjoint", EXACT, ids=str)
@pytest.mark.parametrize("layer", [given, closed])
def test_second_derivatives(layer: Callable[..., Any], adjoint: Any):
    """Every exact adjoint has second derivatives, through closures as well, forward over reverse."""
    gradient = jax.grad(partial(loss, partial(layer, adjoint=adjoint)), argnums=(0, 1))
    first, second = jax.jvp(gradient, drawn(), drawn())
    assert close(first, exact()[0])
    assert close(second, exact()[1])


def test_reverse_over_reverse():
    """The gradient of a product with the gradient is the same second derivative."""

    def along(weight: Any, x: Any) -> Any:
        bars = jax.grad(partial(loss, given), argnums=(0, 1))(weight, x)
        return sum(jnp.vdot(bar, v) for bar, v in zip(bars, drawn(), strict=True))

    assert close(jax.grad(along, argnums=(0, 1))(*drawn()), exact()[1])


def test_third_derivatives():
    """z = tanh(a z + ½): the third derivative is that of differences of the second."""

    def z(a: Any) -> Any:
        return fixed_point(lambda z, a: jnp.tanh(z * a + 0.5), jnp.zeros((1, 1)), a, **TIGHT)[0, 0]

    second = jax.grad(jax.grad(z))
    difference = (second(0.3 + 1e-4) - second(0.3 - 1e-4)) / 2e-4
    assert close(jax.grad(second)(0.3), difference, 1e-6)


@pytest.mark.parametrize(("solver", "adjoint"), APPROXIMATE)
def test_approximate_adjoints_are_those_of_numpy(solver: str, adjoint: str):
    """An adjoint that has no linear equation gives the cotangents that it gives in NumPy, once."""
    weight, x = drawn()
    how = {"solver": solver, "adjoint": adjoint, "rtol": 1e-10, "max_steps": 100, "on_failure": "record"}
    pulled = jax.grad(lambda w, x: jnp.sum(fixed_point(f, jnp.zeros_like(x), w, x, **how)), argnums=(0, 1))
    problem = equilib.FixedPointProblem(_numpy, np.asarray(weight), np.asarray(x))
    options = equilib.SolveOptions(rtol=1e-10, max_steps=100)
    solution = equilib.solve(problem, solver, np.zeros(x.shape), options)
    expected = equilib.adjoint(adjoint).pullback(problem, solution, np.ones(x.shape))
    assert close(pulled(weight, x), expected.inputs)
    with pytest.raises(NoDerivativeError, match="first derivatives in reverse mode only"):
        jax.grad(lambda w: jnp.sum(pulled(w, x)[0]))(weight)
    with pytest.raises(NoDerivativeError, match="under jit"):
        jax.jit(pulled)(weight, x)


def _numpy(z: Any, weight: Any, x: Any) -> Any:
    from equilib import ops

    return ops.tanh(ops.matmul(z, weight) + x)


def test_what_was_solved_for_is_on_record():
    """The record of an equilibrium has the solve, and those of the linear equations of its derivatives."""
    weight, x = drawn()
    records = []

    def value(weight: Any) -> Any:
        records.append(equilibrium(f, jnp.zeros_like(x), weight, x, **TIGHT))
        return jnp.sum(records[-1].z)

    jax.grad(value)(weight)
    assert records[0].solution.success
    assert [each.success for each in records[0].adjoints] == [True]
    jax.jvp(value, (weight,), (weight,))
    assert [each.success for each in records[1].tangents] == [True]


def test_failures_of_the_adjoint_equation_are_told():
    """An adjoint equation that is not solved warns, as a solve does."""
    weight, x = drawn()
    how = {**TIGHT, "adjoint": "implicit:solver=picard,max_steps=1"}
    with pytest.warns(equilib.ConvergenceWarning, match="the adjoint equation of ImplicitAdjoint was not solved"):
        jax.grad(lambda w: jnp.sum(fixed_point(f, jnp.zeros_like(x), w, x, **how)))(weight)
