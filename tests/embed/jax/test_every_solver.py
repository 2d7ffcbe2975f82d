"""Derivatives in JAX with every installed solver and every exact adjoint, of the first and the second order."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import pytest

from tests.embed.every import SOLVERS, exact
from tests.embed.jax.cells import close, drawn, f, iterated

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp  # noqa: E402

from equilib.jax import fixed_point  # noqa: E402
from equilib.jax.solution import JitError  # noqa: E402

TRACED = ("anderson", "auto", "broyden", "lbroyden", "picard")
RTOL = 1e-9


def layer(weight: Any, x: Any, *, solver: str, adjoint: str) -> Any:
    """Return the fixed point of f, to nearly all digits that every method reaches."""
    return fixed_point(f, jnp.zeros_like(x), weight, x, solver=solver, adjoint=adjoint, rtol=RTOL, max_steps=500)


def loss(layer: Any, weight: Any, x: Any) -> Any:
    """Return a number that depends on all elements in different ways."""
    return jnp.sum(jnp.cos(jnp.arange(x.size).reshape(x.shape)) * layer(weight, x) ** 2)


def derivatives(layer: Any) -> tuple[Any, Any]:
    """Return the gradient of the loss, and its derivative along its inputs."""
    first, second = jax.jvp(jax.grad(partial(loss, layer), argnums=(0, 1)), drawn(1, 2), drawn(1, 2))
    return first, second


@cache
def differences() -> tuple[Any, Any]:
    """Return the same by central differences: of the loss of iterations, and of its gradient by their loop."""
    value = jax.jit(partial(loss, partial(iterated, depth=200)))
    gradient = jax.jit(jax.grad(value, argnums=(0, 1)))
    point, h = drawn(1, 2), 1e-5
    first = []
    for place, array in enumerate(point):
        found = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            ahead, behind = (list(point), list(point))
            ahead[place], behind[place] = array.at[index].add(h), array.at[index].add(-h)
            found[index] = (value(*ahead) - value(*behind)) / (2 * h)
        first.append(found)
    ends = [gradient(*(each * (1 + sign * h) for each in point)) for sign in (1, -1)]
    return tuple(first), jax.tree.map(lambda one, other: (one - other) / (2 * h), *ends)


def is_traced(solver: str, adjoint: str) -> bool:
    """Tell whether a solver and an adjoint are loops of a compiled program."""
    return solver in TRACED and adjoint != "ode-adjoint"


EVERY = [(solver, adjoint) for solver in SOLVERS for adjoint in exact(solver)]


@pytest.mark.slow
@pytest.mark.parametrize(("solver", "adjoint"), EVERY)
def test_derivatives_are_those_of_differences(solver: str, adjoint: str):
    """The gradient is that of differences of values, its derivative that of differences of gradients."""
    assert close(derivatives(partial(layer, solver=solver, adjoint=adjoint)), differences(), 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("solver", "adjoint"), [each for each in EVERY if is_traced(*each)])
def test_under_jit_they_are_the_same(solver: str, adjoint: str):
    """What is a loop of the program has the derivatives of differences as well."""
    compiled = jax.jit(lambda: derivatives(partial(layer, solver=solver, adjoint=adjoint)))
    assert close(compiled(), differences(), 1e-6)


@pytest.mark.parametrize(("solver", "adjoint"), [each for each in EVERY if not is_traced(*each)])
def test_under_jit_the_others_are_refused(solver: str, adjoint: str):
    """What the host drives is named, as is what to do."""
    gradient = jax.jit(jax.grad(partial(loss, partial(layer, solver=solver, adjoint=adjoint))))
    what = "the solver" if solver not in TRACED else "the adjoint's solver"
    with pytest.raises(JitError, match=f"{what} .* is driven by the host and cannot run under jit; call it outside"):
        gradient(*drawn(1, 2))
