"""Fixed points, and linear equations at them, as primitives of JAX: each the derivative of the other.

At z = f(z, θ) tangents solve dz = J dz + (∂f/∂θ) dθ, and x = A x + b, A = J or Jᵀ at (z, θ), has the differential
dx = A dx + (db + dA x) and the transpose x̄ ↦ b̄ = Aᵀ b̄ + x̄: hence derivatives of any order, forward and in reverse.

Outside of `jit` a primitive is a solve that the host drives, inside of it a loop that is traced.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from equilib.jax import host
from equilib.jax.how import How
from equilib.jax.maps import FIRST, ROWS, SHARED, Map
from equilib.jax.traced import solve as traced
from equilib.jax.traced.varying import axes_of, like, spread

solve_p = Primitive("equilib_solve")
solve_p.multiple_results = True
linear_p = Primitive("equilib_linear")


def _solve_shapes(z0: Any, *arrays: Any, f: Map, how: How) -> list[Any]:
    batch = z0.shape[:1]
    z = like(z0, z0.shape, z0.dtype)
    numbers = [(batch, jnp.int32), (batch, host.norm_dtype(z0.dtype)), (batch, jnp.int32), ((), jnp.int32)]
    return [z, z, *(like(z0, shape, jnp.dtype(dtype)) for shape, dtype in numbers)]


def _solve_differential(primals: Sequence[Any], tangents: Sequence[Any], *, f: Map, how: How) -> Any:
    outs = solve_p.bind(*primals, f=f, how=how)
    zeros = [_zero(each) for each in outs]
    arrays, moving = list(primals[1:]), [i for i, each in enumerate(tangents[1:]) if type(each) is not ad.Zero]
    if not moving:
        return outs, zeros
    z, bad, *sound = _sound(how.batched, *outs[:2], *arrays)

    def moved(*given: jax.Array) -> jax.Array:
        every = list(sound)
        for i, each in zip(moving, given, strict=True):
            every[i] = each
        return f.evaluate(z, every)

    moves = [spread(tangents[1 + i], axes_of(sound[i])) for i in moving]
    _, b = jax.jvp(moved, [sound[i] for i in moving], moves)
    dz = linear_p.bind(spread(b, axes_of(z)), z, bad, *sound, f=f, how=how, transpose=False)
    return outs, [dz, *zeros[1:]]


def _solve_batched(args: Sequence[Any], axes: Sequence[Any], *, f: Map, how: How) -> Any:
    lanes, f, how, (z0, *arrays) = _folded(args, axes, 1, f, how)
    outs = solve_p.bind(z0, *arrays, f=f, how=how)
    split = [each.reshape(*lanes, *each.shape[1:]) for each in outs[:-1]]
    return [*split, jnp.broadcast_to(outs[-1], lanes[:1])], [0] * len(outs)


def _linear_differential(
    primals: Sequence[Any], tangents: Sequence[Any], *, f: Map, how: How, transpose: bool
) -> tuple[Any, Any]:
    x = linear_p.bind(*primals, f=f, how=how, transpose=transpose)
    (_, z, bad, *arrays), (db, dz, _, *changes) = primals, tangents
    at, into = [z, *arrays], [dz, *changes]
    moving = [i for i, each in enumerate(into) if type(each) is not ad.Zero]

    def product(*given: jax.Array) -> jax.Array:
        every = list(at)
        for i, each in zip(moving, given, strict=True):
            every[i] = each
        return f.product(x, every[0], every[1:], transpose=transpose)

    if moving:
        _, moved = jax.jvp(product, [at[i] for i in moving], [into[i] for i in moving])
        db = moved if type(db) is ad.Zero else db + moved
    if type(db) is ad.Zero:
        return x, _zero(x)
    return x, linear_p.bind(spread(db, axes_of(x)), z, bad, *arrays, f=f, how=how, transpose=transpose)


def _linear_transpose(
    cotangent: Any, b: Any, z: Any, bad: Any, *arrays: Any, f: Map, how: How, transpose: bool
) -> list[Any]:
    rest = [None] * (2 + len(arrays))
    if type(cotangent) is ad.Zero:
        return [ad.Zero(b.aval), *rest]
    return [linear_p.bind(cotangent, z, bad, *arrays, f=f, how=how, transpose=not transpose), *rest]


def _linear_batched(args: Sequence[Any], axes: Sequence[Any], *, f: Map, how: How, transpose: bool) -> Any:
    lanes, f, how, args = _folded(args, axes, 3, f, how)
    x = linear_p.bind(*args, f=f, how=how, transpose=transpose)
    return x.reshape(*lanes, *x.shape[1:]), 0


def _folded(
    args: Sequence[Any], axes: Sequence[Any], states: int, f: Map, how: How
) -> tuple[tuple[int, int], Map, How, list[jax.Array]]:
    """Return the sizes of the new axis and of the batch axis, and a map of arguments in which these are one axis.

    The first `states` arguments have a batch axis, and so have those that the map knows to have one.
    """
    size = next(x.shape[axis] for x, axis in zip(args, axes, strict=True) if axis is not None)
    flags = how.batched or (False,) * (len(args) - states)
    made, places = [], []
    for number, (x, axis) in enumerate(zip(args, axes, strict=True)):
        rows = number < states or flags[number - states]
        shared = axis is None
        if rows:
            whole = jnp.broadcast_to(x, (size, *x.shape)) if shared else jnp.moveaxis(x, axis, 0)
            made.append(whole.reshape(size * whole.shape[1], *whole.shape[2:]))
        else:
            made.append(x if shared else jnp.moveaxis(x, axis, 0))
        places.append(ROWS if rows else SHARED if shared else FIRST)
    batch = args[0].shape[int(axes[0] == 0)]
    return (size, batch), f.folded(tuple(places[states:]), size), how, made


@partial(jax.jit, static_argnums=0)
def _sound(batched: tuple[bool, ...] | None, z: jax.Array, residual: jax.Array, *arrays: jax.Array) -> Any:
    """Return z, which samples of z or f(z) are not finite, and the arrays; such samples replaced by a finite one.

    Where f is nan, zero times its derivative would be nan in the cotangents of what samples share. Rows are replaced
    of z, and of the arrays that are known to have the batch axis.
    """
    axes = tuple(range(1, z.ndim))
    bad = ~jnp.all(jnp.isfinite(z) & jnp.isfinite(residual), axis=axes)
    if not z.shape[0]:
        return z, bad, *arrays
    rows = jnp.where(bad, jnp.argmin(bad), jnp.arange(z.shape[0]))
    every, flags = (z, *arrays), (True, *(batched or (False,) * len(arrays)))
    chosen = spread([x for x, flag in zip(every, flags, strict=True) if flag], axes_of(z, bad))
    replaced = iter(jax.lax.cond(jnp.any(bad), lambda xs: [x[rows] for x in xs], lambda xs: xs, chosen))
    z, *rest = (next(replaced) if flag else x for x, flag in zip(every, flags, strict=True))
    return z, bad, *rest


solve_p.def_impl(host.solve)
solve_p.def_abstract_eval(_solve_shapes)
ad.primitive_jvps[solve_p] = _solve_differential
batching.primitive_batchers[solve_p] = _solve_batched
mlir.register_lowering(solve_p, mlir.lower_fun(traced.solve, multiple_results=True))

linear_p.def_impl(host.linear)
linear_p.def_abstract_eval(lambda b, *_, **__: like(b, b.shape, b.dtype))
ad.primitive_jvps[linear_p] = _linear_differential
ad.primitive_transposes[linear_p] = _linear_transpose
batching.primitive_batchers[linear_p] = _linear_batched
mlir.register_lowering(linear_p, mlir.lower_fun(traced.linear, multiple_results=False))


def _zero(x: Any) -> ad.Zero:
    return ad.Zero(jax.typeof(x).to_tangent_aval())
