"""Norms of the samples of a batch inside a traced loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from equilib.arrays import Norm, max_norm, rms_norm, two_norm
from equilib.fixed_points.tolerance import check_norm_shape
from equilib.jax.traced.kernel import small
from equilib.jax.traced.places import Combined, plain
from equilib.jax.traced.rare import rarely


class Measure(Protocol):
    """**Protocol:** the norms of the samples of arrays (batch, ...), shape (arrays, batch)."""

    def __call__(self, *arrays: jax.Array) -> jax.Array:
        """Return the norms, shape (arrays, batch)."""

    def quickly(self, x: Combined) -> jax.Array:
        """Return numbers, shape (batch,), that are the norms of x where they are `right`."""

    def right(self, numbers: jax.Array, like: jax.Array) -> jax.Array:
        """Return which numbers that `quickly` returned are the norms, of arrays like another, shape (batch, ...)."""


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
    return total(
        reduce(add, (x.astype(wide) * y.astype(wide) for x, y in zip(_parts(one), _parts(other), strict=True)))
    )


def _square(x: Combined) -> jax.Array:
    """Return the sum of the squares of each sample, shape (batch,), in the dtype of numbers."""
    wide = real(x.arrays[0].dtype)
    parts = [x.by(*each).astype(wide) for each in zip(*map(_parts, x.arrays), strict=True)]
    return total(reduce(add, (part * part for part in parts)))


def _parts(x: jax.Array) -> list[jax.Array]:
    """Return the rows of x, shape (batch, ...), or if it is small their halves: no product has a place of its own."""
    whole = flat(x)
    half, odd = divmod(whole.shape[1], 2)
    return [whole] if odd or not small(x) else [whole[:, :half], whole[:, half:]]


@dataclass(frozen=True)
class Root:
    """√Σ x², or the root of the mean; where the squares leave the range of the dtype, they are taken of shares."""

    mean: bool

    def __call__(self, *arrays: jax.Array) -> jax.Array:
        """Return the norms, shape (arrays, batch)."""
        if small(arrays[0]):
            return self._carefully(*arrays)
        norms = jnp.stack([self.quickly(plain(x)) for x in arrays])
        right = self.right(norms, arrays[0])
        carefully = lambda norms: jnp.where(right, norms, self._carefully(*arrays))  # noqa: E731
        return rarely(~jnp.all(right), carefully, norms)

    def quickly(self, x: Combined) -> jax.Array:
        """Return numbers, shape (batch,), that are the norms where they are `right`."""
        return jnp.sqrt(_square(x)) / self._count(x.arrays[0])

    def right(self, numbers: jax.Array, like: jax.Array) -> jax.Array:
        """Return which numbers, shape (batch,), come of squares that stayed within the range of the dtype."""
        info, count = jnp.finfo(numbers.dtype), self._count(like)
        least, most = (float(info.tiny) / float(info.eps)) ** 0.5, float(info.max) ** 0.5
        return (numbers > least / count) & (numbers < most / count)

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
        """Return the norms, shape (arrays, batch), nan where one is negative; raises ValueError for another shape."""
        return jnp.stack([self._checked(x) for x in arrays])

    def _checked(self, x: jax.Array) -> jax.Array:
        norms = jnp.asarray(self.of(x), real(x.dtype))
        check_norm_shape(norms.shape, x.shape[0])
        return jnp.where(norms < 0, jnp.nan, norms)

    def quickly(self, x: Combined) -> jax.Array:
        """Return the norms, shape (batch,)."""
        return self(x.value)[0]

    def right(self, numbers: jax.Array, _: jax.Array) -> jax.Array:
        """Return that all are, shape (batch,)."""
        return jnp.ones(numbers.shape, dtype=bool)


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
