"""Solves of arrays on several devices: inside of `jax.shard_map`, and of arrays with explicit shardings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
from jax.sharding import AxisType

from equilib.jax.maps import Map
from equilib.jax.solution import JitError
from equilib.jax.traced.varying import Axes, axes_of, spread

EXPLICIT = (
    "an array is sharded over mesh axes of the type Explicit, which solvers do not follow; make the mesh by "
    "jax.make_mesh(..., axis_types=(jax.sharding.AxisType.Auto,) * axes), or solve in jax.shard_map"
)

WAITING = (
    "f communicates over the mesh axis {}, over which its state differs: each device takes as many steps as its "
    "samples need, and would wait for the others for ever; give all of them the same state, or solve under jit with "
    "sharded arrays, outside of jax.shard_map"
)


def placed(f: Map, z0: jax.Array, arrays: Sequence[jax.Array]) -> jax.Array:
    """Return the initial guess, shape (batch, ...), said to differ over the axes of the mesh that f's iterates do.

    Raises
    ------
    JitError
        If arrays have explicit shardings, or f communicates over such an axis.
    """
    given = (z0, *arrays)
    if any(_is_explicit(each) for each in given):
        raise JitError(EXPLICIT)
    if not axes_of(*given):
        return z0
    axes: Axes = frozenset()
    while axes != (axes := axes_of(z0) | axes_of(jax.eval_shape(f.call, spread(z0, axes), list(arrays)))):
        z0 = spread(z0, axes)
    waiting = axes & set(_communicating(jax.make_jaxpr(f.call)(z0, list(arrays)).jaxpr))
    if waiting:
        raise JitError(WAITING.format(", ".join(sorted(map(repr, waiting)))))
    return z0


def _is_explicit(x: jax.Array) -> bool:
    sharding: Any = jax.typeof(x).sharding
    types = dict(zip(sharding.mesh.axis_names, sharding.mesh.axis_types, strict=True))
    named = (name for each in sharding.spec for name in (each if isinstance(each, tuple) else (each,)))
    return any(types.get(name) == AxisType.Explicit for name in named)


def _communicating(jaxpr: Any) -> Iterator[Any]:
    """Yield the axes over which operations communicate."""
    for equation in jaxpr.eqns:
        if equation.primitive.name not in ("pvary", "pcast", "axis_index"):
            for name in ("axes", "axis_name"):
                found = equation.params.get(name, ())
                yield from (each for each in (found if isinstance(found, tuple) else (found,)) if isinstance(each, str))
        for inner in jax.core.jaxprs_in_params(equation.params):
            yield from _communicating(inner)
