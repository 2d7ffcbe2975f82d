"""Numbers of the samples in a traced loop, packed into one array of each kind."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

INTEGER = jnp.int32
"""The dtype of counts and of flags, which are packed together."""


class Packed(NamedTuple):
    """Real numbers and integers of a tree, arrays of one axis: on a CPU a loop costs so much for each of its arrays."""

    numbers: jax.Array
    integers: jax.Array


def packed(tree: Any, before: tuple[Any, Packed] = ((), Packed((), ()))) -> Packed:
    """Return the arrays of a tree, scalars or of shape (batch,), in two; real ones are of one dtype.

    Given a tree and its packed form, what has changed of neither is kept, so that the compiler sees that.
    """
    leaves, others = jax.tree.leaves(tree), jax.tree.leaves(before[0])
    kinds = [[each for each in leaves if _is_real(each) == real] for real in (True, False)]
    kept = [all(any(each is x for x in others) for each in kind) for kind in kinds]
    made = [[jnp.ravel(each) for each in kinds[0]], [jnp.ravel(each).astype(INTEGER) for each in kinds[1]]]
    return Packed(
        *(old if same else jnp.concatenate(new) for old, same, new in zip(before[1], kept, made, strict=True))
    )


def unpacked(given: Packed, like: Any) -> Any:
    """Return the tree that was packed, whose leaves have the shapes and dtypes of `like`'s."""
    places = {True: 0, False: 0}

    def part(leaf: Any) -> jax.Array:
        real = _is_real(leaf)
        start, places[real] = places[real], places[real] + leaf.size
        array = given.numbers if real else given.integers
        return array[start : places[real]].reshape(leaf.shape).astype(leaf.dtype)

    return jax.tree.map(part, like)


def _is_real(each: Any) -> bool:
    return bool(jnp.issubdtype(each.dtype, jnp.floating))
