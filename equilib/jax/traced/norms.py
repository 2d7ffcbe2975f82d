"""Norms of the samples of a batch inside a traced loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from equilib.arrays import Norm, max_norm, rms_norm, two_norm

Measure: TypeAlias = Callable[..., jax.Array]
"""Arrays of shape (batch, ...) to their norms, shape (arrays, batch)."""


def real(dtype: Any) -> Any:
    """Return the dtype of numbers of each sample, that of the host where there is one: double precision."""
    return jnp.promote_types(dtype, jax.dtypes.canonicalize_dtype(jnp.float64))


def rows(vector: jax.Array, like: jax.Array) -> jax.Array:
    """Reshape (batch,) to (batch, 1, ..., 1), so that it broadcasts against `like`, in whose dtype it is if real."""
    shaped = vector.reshape(vector.shape[0], *(1,) * (like.ndim - 1))
    return shaped if shaped.dtype == bool else shaped.astype(like.dtype)


def flat(x: jax.Array) -> jax.Array:
    """Reshape (batch, ...) to (batch, size of one sample)."""
    return x.reshape(x.shape[0], -1) if x.size else x.reshape(x.shape[0], 0)


def dot(one: jax.Array, other: jax.Array) -> jax.Array:
    """Return the inner product of each sample, shape (batch,), in the dtype of numbers."""
    wide = real(one.dtype)
    return jnp.sum(flat(one).astype(wide) * flat(other).astype(wide), axis=1)


def measure_of(norm: Norm) -> Measure:
    """Return the function that measures arrays in a norm of the core's, or a user's."""
    if norm is rms_norm:
        return lambda *arrays: roots(arrays, mean=True)
    if norm is two_norm:
        return lambda *arrays: roots(arrays, mean=False)
    if norm is max_norm:
        return lambda *arrays: jnp.stack([jnp.max(jnp.abs(flat(x)), axis=1).astype(real(x.dtype)) for x in arrays])
    return lambda *arrays: jnp.stack([norm(x).astype(real(x.dtype)) for x in arrays])


def roots(arrays: tuple[jax.Array, ...], *, mean: bool) -> jax.Array:
    """Return √Σ x² of each sample, or the root of the mean, shape (arrays, batch); squares leave no range."""
    wide = real(arrays[0].dtype)
    count = (flat(arrays[0]).shape[1] or 1) if mean else 1
    squares = jnp.stack([dot(x, x) for x in arrays])
    info = jnp.finfo(wide)
    usual = (squares > float(info.tiny) / float(info.eps)) & (squares < float(info.max))

    def scaled() -> jax.Array:
        return jnp.where(usual, jnp.sqrt(squares), jnp.stack([_scaled(flat(x).astype(wide)) for x in arrays]))

    return jax.lax.cond(jnp.all(usual), lambda: jnp.sqrt(squares), scaled) / count**0.5


def _scaled(x: jax.Array) -> jax.Array:
    if not x.shape[1]:
        return jnp.zeros(x.shape[0], x.dtype)
    largest = jnp.max(jnp.abs(x), axis=1)
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    shares = x / scale[:, None]
    return scale * jnp.sqrt(jnp.sum(shares * shares, axis=1))
