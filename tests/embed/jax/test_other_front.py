"""The functions of NumPy's front, given what JAX traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import equilib
from equilib import FixedPointProblem

jax = pytest.importorskip("jax", reason="JAX is not installed")
jnp = jax.numpy


def f(z: Any, weight: Any) -> Any:
    """Return w cos z."""
    return weight * jnp.cos(z)


START = np.zeros((2, 3), np.float32)

USES: dict[str, Callable[[Any], Any]] = {
    "a closure": lambda w: equilib.fixed_point(lambda z: f(z, w), jnp.asarray(START), solver="picard"),
    "a closure, from NumPy's arrays": lambda w: equilib.fixed_point(lambda z: f(z, w), START, solver="picard"),
    "an input": lambda w: equilib.fixed_point(f, jnp.asarray(START), w, solver="picard"),
    "z0": lambda w: equilib.fixed_point(lambda z: f(z, 0.5), w * jnp.ones((2, 3)), solver="picard"),
    "a tree": lambda w: equilib.fixed_point(lambda z: z, {"a": w * jnp.ones((2, 3))}, solver="picard")["a"],
    "solve": lambda w: equilib.solve(FixedPointProblem(lambda z: f(z, w)), "picard", jnp.asarray(START)).z,
    "y0": lambda w: equilib.odeint(lambda t, y: y, w * jnp.ones((2, 3)), [0.0, 1.0]),
    "times": lambda w: equilib.odeint(lambda t, y: y, jnp.ones((2, 3)), w * jnp.array([0.0, 1.0])),
    "one time": lambda w: equilib.odeint(lambda t, y: y, jnp.ones((2, 3)), [0.0, w]),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("transform", [jax.jit, jax.grad, jax.vmap], ids=["jit", "grad", "vmap"])
def test_what_is_traced_is_refused(use: str, transform: Callable[..., Any]):
    """A tracer is refused by a sentence that points to `equilib.jax`, wherever it comes in."""
    at = jnp.array([0.5]) if transform is jax.vmap else jnp.array(0.5)
    with pytest.raises(TypeError, match=r"is traced by JAX: take equilib\.jax\.fixed_point or equilib\.jax\.odeint"):
        transform(lambda w: USES[use](w).sum())(at)
