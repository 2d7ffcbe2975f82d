"""Work that a traced loop seldom does, at no price in its other steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

T = TypeVar("T")


def rarely(when: jax.Array, change: Callable[[T], T], usual: T) -> T:
    """Return `usual`, a tree of arrays of any shape, or change(usual), of the same, where the scalar `when` is true.

    A loop of one turn or none: on a CPU a `jax.lax.cond` copies what it returns in either case, at the price of a
    small step.
    """
    turn = lambda carry: (jnp.zeros_like(when), change(carry[1]))  # noqa: E731
    return jax.lax.while_loop(lambda carry: carry[0], turn, (when, usual))[1]


SMALL = 1 << 9
"""Bytes of a state whose steps are bookkeeping, for the most part."""


def together(change: Callable[[T], T], given: T, like: jax.Array) -> T:
    """Return change(given), a tree like `given`; for a small state, shape (batch, ...), in a computation of its own.

    A CPU runs a computation of more than a few operations in several threads if any array in it has more than 512
    bytes, such as a weight of f's, which costs up to ten times as much for each. Apart from f, those of a small state
    run in turn. A loop of one turn changes arrays in place.
    """
    return rarely(_true(like), change, given) if like.nbytes <= SMALL else change(given)


def apart(make: Callable[[], T], like: jax.Array) -> T:
    """Return make(), a tree of new arrays, for a state, shape (batch, ...), as `together` changes some."""
    if like.nbytes > SMALL:
        return make()
    nothing = lambda: jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), jax.eval_shape(make))  # noqa: E731
    made: T = jax.lax.cond(_true(like), make, nothing)
    return made


def _true(x: jax.Array) -> jax.Array:
    """Return true, but so that the compiler does not know it and puts a computation of its own into that around it."""
    first = x.ravel()[0]
    return ~((first < 1) & (first > 2))
