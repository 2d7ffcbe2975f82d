"""Work that a traced loop seldom does, at no price in its other steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.experimental.xla_metadata import set_xla_metadata

from equilib.jax.traced.varying import on_cpu, while_loop

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
    """Return change(given), a tree like `given`; for a small state, shape (batch, ...), by one kernel on a CPU.

    A loop of less than a kilobyte is compiled as one. `when` is true, but the compiler must not know it.
    """
    return rarely(when, change, given) if small(like) else change(given)


def apart(make: Callable[..., T], *given: Any, like: jax.Array) -> T:
    """Return make(*given), trees of arrays; for a small state, shape (batch, ...), in a computation of its own.

    A CPU runs a computation of more than a few operations in several threads if any array in it has more than 512
    bytes, such as a weight of f's, which costs up to ten times as much for each. Apart from f, those of a small state
    run in turn.
    """
    if not small(like):
        return make(*given)
    # What is given, and returned, would be copied outside if the compiler saw that.
    made = jax.jit(lambda *given: jax.lax.optimization_barrier(make(*given)))
    return on_cpu(lambda *given: set_xla_metadata(made(*given), inlineable="false"), make, *given)
