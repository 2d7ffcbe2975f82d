"""Norms of the samples of a batch inside a traced loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from equilib.arrays import Norm, max_norm, rms_norm, two_norm
from equilib.jax.traced.rare import rarely, small


class Measure(Protocol):
    """**Protocol:** the norms of the samples of arrays (batch, ...), shape (arrays, batch)."""

    def __call__(self, *arrays: jax.Array) -> jax.Array:
        """Return the norms, shape (arrays, batch)."""

    def quickly(self, *arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return numbers, shape (arrays, batch), and which of them are the norms."""


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
    x, y = flat(one).astype(wide), flat(other).astype(wide)
    half, odd = divmod(x.shape[1], 2)
    if odd or not small(one):
        return total(x * y)
    return total(x[:, :half] * y[:, :half] + x[:, half:] * y[:, half:])  # products need no place of their own


@dataclass(frozen=True)
class Root:
    """√Σ x², or the root of the mean; where the squares leave the range of the dtype, they are taken of shares."""

    mean: bool

    def __call__(self, *arrays: jax.Array) -> jax.Array:
        """Return the norms, shape (arrays, batch)."""
        if small(arrays[0]):
            return self._carefully(*arrays)
        norms, right = self.quickly(*arrays)
        carefully = lambda norms: jnp.where(right, norms, self._carefully(*arrays))  # noqa: E731
        return rarely(~jnp.all(right), carefully, norms)

    def quickly(self, *arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return numbers, shape (arrays, batch), and which of them are the norms."""
        norms, count = jnp.sqrt(jnp.stack([dot(x, x) for x in arrays])), self._count(arrays[0])
        info = jnp.finfo(norms.dtype)
        least, most = float(info.tiny) / float(info.eps), float(info.max)
        right = (norms > least**0.5) & (norms < most**0.5)
        return norms / count, right

    def _carefully(self, *arrays: jax.Array) -> jax.Array:
        every = jnp.stack([flat(x) for x in arrays]).astype(real(arrays[0].dtype))
        size = largest(every)
        scale = jnp.where((size > 0) & jnp.isfinite(size), size, 1)
        shares = every / scale[:, :, None]
        return scale * jnp.sqrt(total(shares * shares)) / self._count(arrays[0])

    def _count(self, x: jax.Array) -> float:
        return float((flat(x).shape[1] or 1) ** 0.5) if self.mean else 1.0


@dataclass(frozen=True)
class Simple:
    """A norm that is right as it is."""

    of: Callable[[jax.Array], jax.Array]

    def __call__(self, *arrays: jax.Array) -> jax.Array:
        """Return the norms, shape (arrays, batch)."""
        return jnp.stack([self.of(x).astype(real(x.dtype)) for x in arrays])

    def quickly(self, *arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the norms, shape (arrays, batch), and that they are."""
        norms = self(*arrays)
        return norms, jnp.ones(norms.shape, dtype=bool)


def measure_of(norm: Norm) -> Measure:
    """Return what measures arrays in a norm of the core's, or a user's."""
    if norm is rms_norm:
        return Root(mean=True)
    if norm is two_norm:
        return Root(mean=False)
    return Simple((lambda x: largest(flat(x))) if norm is max_norm else norm)


def roots(*arrays: jax.Array) -> jax.Array:
    """Return √Σ x² of each sample of arrays (batch, ...), shape (arrays, batch); squares leave no range."""
    return Root(mean=False)(*arrays)


def total(x: jax.Array) -> jax.Array:
    """Return the sum over the last axis, array of shape (...)."""
    return _folded(jnp.add, x) if small(x) else jnp.sum(x, axis=-1)


def largest(x: jax.Array) -> jax.Array:
    """Return max |x| over the last axis, array of shape (...), zero of no numbers."""
    return _folded(jnp.maximum, jnp.abs(x)) if small(x) else jnp.max(jnp.abs(x), axis=-1, initial=0)


def _folded(combine: Callable[[jax.Array, jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """Reduce the last axis by halves.

    A reduction of XLA's costs a small solve as much as a step even where it is not done: on a CPU, a call prepares the
    buffers of its arguments first.
    """
    while (size := x.shape[-1]) > 1:
        half, odd = divmod(size, 2)
        rest = [x[..., -1:]] if odd else []
        x = jnp.concatenate([combine(x[..., :half], x[..., half : 2 * half]), *rest], axis=-1)
    return x[..., 0]
