"""Loops inside of `jax.shard_map`, where JAX has in an array's type the axes of the mesh over which it differs.

What goes round in a loop keeps its type, and both branches of a choice have one. So in a solve whose state differs over
some axes, whatever its loops and choices make is said to, constants too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import jax
from jax.sharding import PartitionSpec

T = TypeVar("T")
Axes = frozenset[Any]

_axes: ContextVar[Axes] = ContextVar("axes of the mesh", default=frozenset())


def axes_of(*arrays: Any) -> Axes:
    """Return the axes over which some of the arrays, or what has their types, differ."""
    return frozenset().union(*(jax.typeof(each).manual_axis_type.varying for each in arrays))


def spread(tree: T, axes: Axes) -> T:
    """Return arrays, a tree, that are said to differ over the axes."""

    def cast(x: jax.Array) -> jax.Array:
        more = axes - axes_of(x)
        return jax.lax.pcast(x, tuple(more), to="varying") if more else x

    return jax.tree.map(cast, tree) if axes else tree


def like(type_: Any, shape: tuple[int, ...], dtype: Any) -> jax.core.ShapedArray:
    """Return the type of an array that differs over the axes of another's, with a shape and dtype of its own."""
    if not type_.manual_axis_type.varying:
        return jax.core.ShapedArray(shape, dtype)
    sharding = type_.sharding.update(spec=PartitionSpec(*(None,) * len(shape)))
    return jax.core.ShapedArray(shape, dtype, sharding=sharding, manual_axis_type=type_.manual_axis_type)


@contextmanager
def over(axes: Axes) -> Iterator[None]:
    """Have a block whose loops and choices make what differs over the axes."""
    token = _axes.set(axes)
    try:
        yield
    finally:
        _axes.reset(token)


def while_loop(more: Callable[[T], jax.Array], turn: Callable[[T], T], start: T) -> T:
    """Return what `jax.lax.while_loop` does, a tree of arrays of any shape."""
    axes = _axes.get()
    found: T = jax.lax.while_loop(more, lambda carry: spread(turn(carry), axes), spread(start, axes))
    return found


def fori_loop(first: Any, end: Any, turn: Callable[[Any, T], T], start: T) -> T:
    """Return what `jax.lax.fori_loop` does, a tree of arrays of any shape."""
    axes = _axes.get()
    found: T = jax.lax.fori_loop(first, end, lambda i, carry: spread(turn(i, carry), axes), spread(start, axes))
    return found


def on_cpu(one: Callable[..., T], other: Callable[..., T], *given: Any) -> T:
    """Return one(*given) where it is compiled for a CPU, and elsewhere other(*given), trees of arrays."""
    axes = _axes.get()
    branches = {
        name: lambda *given, make=make: spread(make(*given), axes) for name, make in (("cpu", one), ("default", other))
    }
    found: T = jax.lax.platform_dependent(*given, **branches)
    return found


def cond(which: jax.Array, one: Callable[[], T], other: Callable[[], T]) -> T:
    """Return what `jax.lax.cond` does: a tree of arrays of any shape, as the scalar `which` says."""
    axes = _axes.get()
    found: T = jax.lax.cond(which, lambda: spread(one(), axes), lambda: spread(other(), axes))
    return found
