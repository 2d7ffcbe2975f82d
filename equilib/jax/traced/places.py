"""Iterates of a traced loop and f there, kept as f(z) or as the residual f(z) − z, whichever a solver needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp


class Combined(NamedTuple):
    """What an elementwise operation makes of arrays (batch, ...), to be measured without a place of its own."""

    by: Callable[..., jax.Array]
    arrays: tuple[jax.Array, ...]

    @property
    def value(self) -> jax.Array:
        """The result, shape (batch, ...)."""
        return self.by(*self.arrays)

    def minus(self, other: Combined) -> Combined:
        """Return the difference."""
        count = len(self.arrays)
        return Combined(lambda *x: self.by(*x[:count]) - other.by(*x[count:]), self.arrays + other.arrays)


def plain(x: jax.Array) -> Combined:
    """Return an array (batch, ...) as it is."""
    return Combined(lambda x: x, (x,))


class Place(Protocol):
    """**Protocol:** iterates and f there, a tree of arrays (batch, ...)."""

    @property
    def z(self) -> jax.Array:
        """The iterates."""

    @property
    def residual(self) -> jax.Array:
        """f(z) − z."""

    @property
    def image(self) -> jax.Array:
        """f(z)."""

    @property
    def difference(self) -> Combined:
        """f(z) − z, to be measured."""


class ByResidual(NamedTuple):
    """Iterates and their residuals, arrays (batch, ...)."""

    z: jax.Array
    residual: jax.Array

    @property
    def image(self) -> jax.Array:
        """f(z), to rounding."""
        return self.z + self.residual

    @property
    def difference(self) -> Combined:
        """The residuals."""
        return plain(self.residual)


class ByImage(NamedTuple):
    """Iterates and f(z), arrays (batch, ...)."""

    z: jax.Array
    image: jax.Array

    @property
    def residual(self) -> jax.Array:
        """f(z) − z."""
        return self.difference.value

    @property
    def difference(self) -> Combined:
        """f(z) − z."""
        return Combined(jnp.subtract, (self.image, self.z))


def place_of(state: Any) -> Place:
    """Return where a solver's state is: the state itself, where it is no more than that, or its z and residual."""
    return state if isinstance(state, ByImage | ByResidual) else ByResidual(state.z, state.residual)
