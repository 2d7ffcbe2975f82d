"""Warnings about solves in JAX: the line that they name."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from equilib.fixed_points.solution import UnsolvedWarning
from tests.embed.jax.cells import drawn, f

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
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        steps(kind)
    solves: list[Any] = [each for each in caught if issubclass(each.category, UnsolvedWarning)]
    assert solves
    assert {each.filename for each in solves} == {__file__}
