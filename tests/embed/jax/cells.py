"""Maps that the laws of JAX's front are tried on, in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed")
jax.config.update("jax_enable_x64", True)
jnp = jax.numpy

TIGHT: dict[str, Any] = {"solver": "anderson", "rtol": 1e-12, "max_steps": 300}
"""A solve to rounding."""


def drawn(batch: int = 2, size: int = 3) -> tuple[Any, Any]:
    """Return a weight of norm 0.6 and an injection."""
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((size, size))
    weight *= 0.6 / np.linalg.norm(weight, 2)
    return jnp.asarray(weight), jnp.asarray(rng.standard_normal((batch, size)))


def f(z: Any, weight: Any, x: Any) -> Any:
    """Return tanh(z W + x)."""
    return jnp.tanh(z @ weight + x)


def iterated(weight: Any, x: Any, *, depth: int = 80) -> Any:
    """Return the fixed point of `f` by iterations that JAX differentiates: the reference."""
    z: Any = jax.lax.fori_loop(0, depth, lambda _, z: f(z, weight, x), jnp.zeros_like(x))
    return z


def close(one: Any, other: Any, rtol: float = 1e-8) -> bool:
    """Tell whether two trees of arrays are equal to rounding."""
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.allclose(a, b, rtol=rtol, atol=rtol, equal_nan=True) for a, b in leaves)
