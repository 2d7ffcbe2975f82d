"""Work that a traced loop seldom does, at no price in its other steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from equilib.jax.traced.varying import while_loop

T = TypeVar("T")


def rarely(when: jax.Array, change: Callable[[T], T], usual: T) -> T:
    """Return `usual`, a tree of arrays of any shape, or change(usual), of the same, where the scalar `when` is true.

    A loop of one turn or none: on a CPU a `jax.lax.cond` copies what it returns in either case, at the price of a
    small step.
    """
    turn = lambda carry: (jnp.zeros_like(when), change(carry[1]))  # noqa: E731
    return while_loop(lambda carry: carry[0], turn, (when, usual))[1]
