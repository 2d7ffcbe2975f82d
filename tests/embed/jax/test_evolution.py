"""Initial value problems in JAX: derivatives by every kind of adjoint, trees, times, and what is refused."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.embed.jax.cells import close

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp  # noqa: E402

from equilib.jax import JitError, evolve, odeint  # noqa: E402

MATRIX = jnp.asarray([[0.0, 1.0], [-1.0, -0.1]])
START = jnp.asarray([[1.0, 0.5], [0.2, 0.1], [-0.3, 2.0]])
TIMES = (0.0, 0.4, 1.0)
TIGHT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-12}


def f(t: Any, y: Any, matrix: Any) -> Any:
    """Return A y."""
    return y @ matrix.T


def exact(matrix: Any, y0: Any) -> Any:
    """Return a number of the solution at time 1."""
    return jnp.sum((y0 @ jax.scipy.linalg.expm(matrix).T) ** 2)


def loss(matrix: Any, y0: Any, *, closed: bool = False, **how: Any) -> Any:
    """Return the same of the integration, whose f is given the matrix or closes over it."""
    if closed:
        return jnp.sum(odeint(lambda t, y: f(t, y, matrix), y0, TIMES, **TIGHT, **how)[-1] ** 2)
    return jnp.sum(odeint(f, y0, TIMES, matrix, **TIGHT, **how)[-1] ** 2)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("adjoint", ["interpolating", "gauss", "backsolve", "discrete"])
def test_gradients(adjoint: str, closed: bool):
    """The gradient in the initial value, and in what f depends on, is that of the exact solution."""
    gradient = jax.grad(partial(loss, adjoint=adjoint, closed=closed), argnums=(0, 1))(MATRIX, START)
    assert close(gradient, jax.grad(exact, argnums=(0, 1))(MATRIX, START), 1e-7)


def test_second_derivatives():
    """The accepted steps, taken again, have derivatives of any order; other adjoints say that they have none."""
    along = lambda g: jax.jvp(g, (MATRIX,), (MATRIX,))[1]  # noqa: E731
    second = along(jax.grad(partial(loss, y0=START, adjoint="discrete")))
    assert close(second, along(jax.grad(partial(exact, y0=START))), 1e-6)
    with pytest.raises(JitError, match="adjoint discrete where it is differentiated twice"):
        along(jax.grad(partial(loss, y0=START)))


def ended(t: Any, matrix: Any, y0: Any, **how: Any) -> Any:
    """Return a number of the solution at the last two of three times."""
    y = odeint(lambda t, y, matrix: t * f(t, y, matrix), y0, t, matrix, **TIGHT, **how)
    return jnp.sum(y[-1] ** 2) + jnp.sum(y[1])


def ended_exactly(t: Any, matrix: Any, y0: Any) -> Any:
    """Return the same of the exact solution: t A has the integral (t² − t₀²) A / 2."""
    at = lambda end: y0 @ jax.scipy.linalg.expm(matrix * (end**2 - t[0] ** 2) / 2).T  # noqa: E731
    return jnp.sum(at(t[2]) ** 2) + jnp.sum(at(t[1]))


@pytest.mark.parametrize("adjoint", ["interpolating", "gauss", "backsolve", "discrete"])
def test_times_are_differentiated(adjoint: str):
    """The gradient by all output times, the first too, and by all else beside them, is that of the exact solution."""
    at = jnp.asarray((0.1, 0.4, 1.0)), MATRIX, START
    found = jax.value_and_grad(partial(ended, adjoint=adjoint), argnums=(0, 1, 2))(*at)
    assert close(found, jax.value_and_grad(ended_exactly, argnums=(0, 1, 2))(*at), 1e-6)


@pytest.mark.parametrize("adjoint", ["interpolating", "backsolve", "discrete"])
def test_jacobians_in_reverse_mode(adjoint: str):
    """`jacrev` is reverse mode: its rows are the gradients of the elements, by times and all else."""
    end = lambda t, matrix, y0: odeint(f, y0, t, matrix, adjoint=adjoint, **TIGHT)[-1]  # noqa: E731
    exactly = lambda t, matrix, y0: y0 @ jax.scipy.linalg.expm(matrix * (t[1] - t[0])).T  # noqa: E731
    at = jnp.asarray((0.0, 1.0)), MATRIX, START
    assert close(jax.jacrev(end, (0, 1, 2))(*at), jax.jacrev(exactly, (0, 1, 2))(*at), 1e-6)


def test_times_of_steps_taken_again_have_every_derivative():
    """By the adjoint discrete there are tangents by output times, and second derivatives with all else."""
    at = jnp.asarray((0.1, 0.4, 1.0)), MATRIX, START
    both = lambda g: jax.jvp(g, at, at)[1]  # noqa: E731
    assert close(both(partial(ended, adjoint="discrete")), both(ended_exactly), 1e-6)
    gradient = partial(jax.grad, argnums=(0, 1, 2))
    assert close(both(gradient(partial(ended, adjoint="discrete"))), both(gradient(ended_exactly)), 1e-5)


@pytest.mark.parametrize("adjoint", ["interpolating", "discrete"])
def test_times_of_samples_are_differentiated(adjoint: str):
    """Where each sample has its own times, so has it their derivatives; stops between change nothing."""
    t = jnp.asarray(((0.0, 0.2, 0.1), (1.0, 0.7, 0.9)))

    def last(t: Any, **how: Any) -> Any:
        return jnp.sum(odeint(lambda t, y: -t * y, START, t, per_sample=True, stops=(0.5,), **TIGHT, **how)[-1] ** 2)

    exact = lambda t: jnp.sum((START * jnp.exp((t[0] ** 2 - t[1] ** 2) / 2)[:, None]) ** 2)  # noqa: E731
    assert close(jax.grad(partial(last, adjoint=adjoint))(t), jax.grad(exact)(t), 1e-6)


def test_states_that_are_trees_and_single_systems():
    """A dict is a state, and so is a vector without a batch axis; each sample has its status."""
    rotate = lambda t, y: {"b": -y["a"], "a": y["b"]}  # noqa: E731
    found = evolve(rotate, {"a": START, "b": 2 * START}, (0.0, 1.0), **TIGHT)
    assert found.solution.success
    assert close(found.y["a"][-1], START * jnp.cos(1.0) + 2 * START * jnp.sin(1.0), 1e-7)
    assert close(odeint(lambda t, y: -t * y, jnp.ones(2), (0.0, 1.0), batched=False, **TIGHT)[-1], jnp.exp(-0.5), 1e-7)


@pytest.mark.parametrize("transform", [jax.jit, jax.vmap])
def test_what_the_host_drives_is_refused(transform: Any):
    """Under jit and vmap an integration says where it can be called."""
    with pytest.raises(JitError, match="driven by the host"):
        transform(lambda y0: odeint(f, y0, TIMES, MATRIX))(START[None])
