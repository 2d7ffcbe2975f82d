"""Norms of the samples of a batch inside a traced loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from equilib.arrays import Norm, max_norm, rms_norm, two_norm
from equilib.jax.traced.rare import rarely


class Measure(Protocol):
    """**Protocol:** the norms of the samples of arrays (batch, ...), shape (arrays, batch)."""

    def __call__(self, *arrays: jax.Array) -> jax.Array:
        """Return the norms, shape (arrays, batch)."""

    def quickly(self, *arrays: jax.Array) -> jax.Array:
        """Return the norms, shape (arrays, batch), if numbers of their size are `right`."""

    def right(self, norms: jax.Array, like: jax.Array) -> jax.Array:
        """Return which quick norms, shape (arrays, batch), of arrays like one are right."""

    def surely(self, norms: jax.Array, *arrays: jax.Array) -> jax.Array:
        """Return the norms, shape (arrays, batch), given the quick ones."""


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


@dataclass(frozen=True)
class Root:
    """√Σ x², or the root of the mean; where the squares leave the range of the dtype, they are taken of shares."""

    mean: bool

    def __call__(self, *arrays: jax.Array) -> jax.Array:
        """Return the norms, shape (arrays, batch)."""
        return self.surely(self.quickly(*arrays), *arrays)

    def quickly(self, *arrays: jax.Array) -> jax.Array:
        """Return the norms, shape (arrays, batch), if numbers of their size are `right`."""
        return jnp.sqrt(jnp.stack([dot(x, x) for x in arrays])) / self._count(arrays[0])

    def right(self, norms: jax.Array, like: jax.Array) -> jax.Array:
        """Return which quick norms, shape (arrays, batch), of arrays like one are right."""
        info, count = jnp.finfo(norms.dtype), self._count(like)
        least, most = float(info.tiny) / float(info.eps), float(info.max)
        return (norms > least**0.5 / count) & (norms < most**0.5 / count)

    def surely(self, norms: jax.Array, *arrays: jax.Array) -> jax.Array:
        """Return the norms, shape (arrays, batch), given the quick ones."""
        right, count = self.right(norms, arrays[0]), self._count(arrays[0])

        def carefully(norms: jax.Array) -> jax.Array:
            exact = jnp.stack([_scaled(flat(x).astype(norms.dtype)) for x in arrays]) / count
            return jnp.where(right, norms, exact)

        return rarely(~jnp.all(right), carefully, norms)

    def _count(self, x: jax.Array) -> float:
        return float((flat(x).shape[1] or 1) ** 0.5) if self.mean else 1.0


@dataclass(frozen=True)
class Simple:
    """A norm that is right as it is."""

    of: Callable[[jax.Array], jax.Array]

    def __call__(self, *arrays: jax.Array) -> jax.Array:
        """Return the norms, shape (arrays, batch)."""
        return jnp.stack([self.of(x).astype(real(x.dtype)) for x in arrays])

    def quickly(self, *arrays: jax.Array) -> jax.Array:
        """Return the norms, shape (arrays, batch)."""
        return self(*arrays)

    def right(self, norms: jax.Array, like: jax.Array) -> jax.Array:
        """Return that all are right, shape (arrays, batch)."""
        return jnp.ones(norms.shape, dtype=bool)

    def surely(self, norms: jax.Array, *arrays: jax.Array) -> jax.Array:
        """Return the norms, shape (arrays, batch), given the quick ones."""
        return norms


def measure_of(norm: Norm) -> Measure:
    """Return what measures arrays in a norm of the core's, or a user's."""
    if norm is rms_norm:
        return Root(mean=True)
    if norm is two_norm:
        return Root(mean=False)
    return Simple((lambda x: jnp.max(jnp.abs(flat(x)), axis=1)) if norm is max_norm else norm)


def roots(*arrays: jax.Array) -> jax.Array:
    """Return √Σ x² of each sample of arrays (batch, ...), shape (arrays, batch); squares leave no range."""
    return Root(mean=False)(*arrays)


def _scaled(x: jax.Array) -> jax.Array:
    if not x.shape[1]:
        return jnp.zeros(x.shape[0], x.dtype)
    largest = jnp.max(jnp.abs(x), axis=1)
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    shares = x / scale[:, None]
    return scale * jnp.sqrt(jnp.sum(shares * shares, axis=1))
