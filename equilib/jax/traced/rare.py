"""Work that a traced loop seldom does, at no price in its other steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from equilib.jax.traced.varying import cond, while_loop

T = TypeVar("T")


def rarely(when: jax.Array, change: Callable[[T], T], usual: T) -> T:
    """Return `usual`, a tree of arrays of any shape, or change(usual), of the same, where the scalar `when` is true.

    A loop of one turn or none: on a CPU a `jax.lax.cond` copies what it returns in either case, at the price of a
    small step.
    """
    turn = lambda carry: (jnp.zeros_like(when), change(carry[1]))  # noqa: E731
    return while_loop(lambda carry: carry[0], turn, (when, usual))[1]


SMALL = 1 << 9
"""Bytes of a state whose steps are bookkeeping, for the most part."""


def small(x: jax.Array) -> bool:
    """Return whether an array, of any shape, is that of a small state or of its bookkeeping; not if it is empty."""
    return 0 < x.nbytes <= SMALL


def together(change: Callable[[T], T], given: T, like: jax.Array, when: jax.Array) -> T:
    """Return change(given), a tree like `given`; for a small state, shape (batch, ...), in a computation of its own.

    A CPU runs a computation of more than a few operations in several threads if any array in it has more than 512
    bytes, such as a weight of f's, which costs up to ten times as much for each. Apart from f, those of a small state
    run in turn. A loop of one turn changes arrays in place: `when` is true, but the compiler must not know it.
    """
    return rarely(when, change, given) if small(like) else change(given)


def apart(make: Callable[[], T], like: jax.Array) -> T:
    """Return make(), a tree of new arrays, for a state, shape (batch, ...), as `together` changes some.

    Constants, and outputs that are the same, would be copied one by one outside of that computation.
    """
    if not small(like):
        return make()

    def number() -> jax.Array:
        return like.ravel()[0]

    def never() -> T:
        return jax.tree.map(lambda each: jnp.full(each.shape, number().astype(each.dtype)), jax.eval_shape(make))

    unknown_to_the_compiler = ~((number() < 1) & (number() > 2))
    made: T = cond(unknown_to_the_compiler, lambda: jax.lax.optimization_barrier(make()), never)
    return made
