"""Slope of f(z) − z where a traced solve comes close: `equilib.fixed_points.slope`, step for step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from equilib.fixed_points.slope import BARELY, EDGE, GRAIN, LEAP, NOISE, RESOLVED, SLACK, SOONER, VETO
from equilib.jax.traced.kernel import small
from equilib.jax.traced.norms import Measure, rows
from equilib.jax.traced.places import Place, plain
from equilib.jax.traced.varying import cond, while_loop

Evaluate = Callable[[jax.Array], jax.Array]


Measured = Callable[..., tuple[Sequence[jax.Array], Sequence[jax.Array]]]
"""What is combined to norms, and which of these are right, arrays of shape (batch,)."""


class Here(NamedTuple):
    """Where samples came, and arrays of shape (batch,).

    These are ‖f(z) − z‖, the tolerance, the rounding of z, and whether the first of them is within the second.
    """

    place: Place
    size: jax.Array
    tolerance: jax.Array
    rounding: jax.Array
    near: jax.Array


class Slope(NamedTuple):
    """How far samples came, the share of the tolerance that the slope on the way leaves, and whether f has to tell.

    Arrays of shape (batch,); f has to tell what is near and came too far to rely on that.
    """

    moved: jax.Array
    share: jax.Array
    leapt: jax.Array


def between(
    measured: Measured,
    here: Here,
    before: Place,
    first: jax.Array,
    known: jax.Array,
) -> tuple[Slope, jax.Array]:
    """Return the slope between two places, and whose norms are right.

    It is what `equilib.fixed_points.slope.strictness` does before it evaluates f. `known` is the share so far, inf
    where nothing was known. Where the place is the `first`, a scalar, there is none before it. `measured` returns
    norms, and which of them are right.
    """
    doubted, unknown = known < 1, jnp.isinf(known)
    reach = jnp.fmax(here.tolerance, RESOLVED * here.rounding)

    def seen() -> tuple[Slope, jax.Array]:
        apart = plain(here.place.z).minus(plain(before.z)), here.place.difference.minus(before.difference)
        (moved, changed), right = measured(*apart)
        short = ~(moved > NOISE * here.rounding)
        still = jnp.where(unknown & (moved > 0), jnp.inf, jnp.nan)
        share = jnp.where(first, jnp.inf, jnp.where(short, still, _share(here, moved, changed)))
        moved = jnp.where(first, jnp.inf, moved)
        leap = jnp.where(here.size > BARELY * reach, LEAP / SOONER, LEAP)
        long = jnp.isinf(share) | (moved > jnp.where(doubted, 1.0, leap) * reach)
        slope = Slope(moved, share, here.near & long & (here.size <= share * reach))
        return slope, first | ~here.near | (right[0] & right[1])

    def unseen() -> tuple[Slope, jax.Array]:
        none = jnp.zeros_like(here.near)
        return Slope(here.size, known, none), ~none

    return seen() if small(here.place.z) else cond(jnp.any(here.near), seen, unseen)


def strictness(
    evaluate: Evaluate,
    measure: Measure,
    here: Here,
    before: Place,
    first: jax.Array,
    known: jax.Array,
    slope: Slope,
) -> tuple[jax.Array, jax.Array]:
    """Return the share of `equilib.fixed_points.slope.strictness`, given that of `between`, and evaluations for it."""
    moved, share, leapt = slope
    reach = jnp.fmax(here.tolerance, RESOLVED * here.rounding)
    length = jnp.fmax(reach, RESOLVED * here.rounding * SLACK / jnp.where(leapt, share, 1.0))
    sure = leapt & (here.size > jnp.where(first, 0.0, NOISE * here.rounding))
    offset = _scaled(here.place.residual, jnp.where(sure, length / jnp.where(sure, here.size, 1.0), 0.0))
    back = jnp.where(leapt & ~sure, length / jnp.where(leapt, moved, 1.0), 0.0)
    offset = offset + _scaled(before.z - here.place.z, back)
    stepped, changed, outer = measure(offset, evaluate(here.place.z + offset) - here.place.residual, before.residual)
    local = jnp.where(leapt & (stepped > 0), _share(here, stepped, changed), share)
    flat = leapt & ~sure & (local == 0) & ~first
    once = jnp.any(leapt).astype(jnp.int32)
    edge = lambda: _at_edge(evaluate, measure, here, before, moved, outer, flat, once)  # noqa: E731
    found, count = cond(jnp.any(flat), edge, lambda: (local, once))
    local = jnp.where(flat, found, local)
    allowed = jnp.where(known < 1, 1.0, VETO) * local * reach
    vetoed = leapt & ((share > 1) | ~(here.size + here.rounding <= allowed))
    return jnp.where(vetoed, jnp.fmin(share, local), share), count


def _share(here: Here, moved: jax.Array, changed: jax.Array) -> jax.Array:
    slope = jnp.fmax(changed - GRAIN * here.rounding, 0.0) / jnp.where(moved > 0, moved, 1.0)
    return jnp.fmin(SLACK * slope, 1.0)


def _scaled(x: jax.Array, factor: jax.Array) -> jax.Array:
    return rows(factor, x) * x


def _at_edge(
    evaluate: Evaluate,
    measure: Measure,
    here: Here,
    before: Place,
    moved: jax.Array,
    outer: jax.Array,
    flat: jax.Array,
    count: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    edge = jnp.fmax(EDGE * here.tolerance, RESOLVED * here.rounding)
    known = flat & (here.size <= edge) & (outer > edge) & jnp.isfinite(moved)
    way = before.z - here.place.z

    def open_(carry: tuple[jax.Array, ...]) -> jax.Array:
        near, far, *_ = carry
        gap = far - near
        return jnp.any(known & (gap * moved > edge) & (gap > jnp.nextafter(far, jnp.inf) - far))

    def halve(carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        near, far, inner, outer, count = carry
        middle = (near + far) / 2
        (size,) = measure(evaluate(here.place.z + _scaled(way, middle)))
        out = size > edge
        return (
            jnp.where(out, near, middle),
            jnp.where(out, middle, far),
            jnp.where(out, inner, size),
            jnp.where(out, size, outer),
            count + 1,
        )

    start = ((~known).astype(moved.dtype), known.astype(moved.dtype), here.size, outer, count)
    near, far, inner, outer, count = while_loop(open_, halve, start)
    width, change = (far - near) * moved, outer - inner
    sharp = known & (change > NOISE * here.rounding) & (inner * width <= SLACK * here.tolerance * change)
    return jnp.where(sharp, _share(here, width, change), 0.0), count
