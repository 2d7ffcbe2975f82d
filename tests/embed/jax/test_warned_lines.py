"""Warnings about solves in JAX: the line that they name."""

from __future__ import annotations

import pytest

from tests.embed.jax.cells import drawn, f
from tests.embed.warned import files_warned_of

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp  # noqa: E402

from equilib.jax import fixed_point, odeint  # noqa: E402

WEIGHT, X = drawn()


def steps(kind: str) -> None:
    """Do what a kind says, in lines that all warn."""
    start = jnp.zeros_like(X)
    if kind == "a solve":
        fixed_point(f, start, WEIGHT, X, solver="picard", max_steps=2)
    elif kind == "a gradient":
        how = {"adjoint": "implicit:solver=picard,max_steps=1"}
        jax.grad(lambda x: fixed_point(f, start, WEIGHT, x, **how).sum())(X)
    elif kind == "an approximate gradient":
        how = {"solver": "lbroyden", "adjoint": "shine"}
        jax.grad(lambda x: fixed_point(f, start, WEIGHT, x, max_steps=2, **how).sum())(X)
    elif kind == "vmap":
        jax.vmap(lambda x: fixed_point(f, start[:1], WEIGHT, x[None], solver="picard", max_steps=2))(X)
    else:
        odeint(lambda t, y: -y, X, [0.0, 9.0], rtol=1e-9, max_steps=2)


@pytest.mark.parametrize("kind", ["a solve", "a gradient", "an approximate gradient", "vmap", "odeint"])
def test_a_warning_names_the_line_of_the_user(kind: str):
    """However deep a solve is that failed, the warning is about the line outside of equilib and JAX."""
    named = files_warned_of(lambda: steps(kind))
    assert named
    assert set(named) == {__file__}
