"""Batched GMRES inside a traced loop: `equilib.numerics.gmres`, with a basis of fixed shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from equilib.jax.traced.driver import Evaluator
from equilib.jax.traced.kernel import apart, together
from equilib.jax.traced.norms import dot, flat, real, roots, rows, total
from equilib.jax.traced.places import ByResidual
from equilib.jax.traced.varying import fori_loop, while_loop
from equilib.numerics.affine import SHARE
from equilib.numerics.gmres import GMRES

MatVec = Callable[[jax.Array], jax.Array]

SMALL = 1 << 16
"""Bytes of a basis that are sooner multiplied as a whole than as far as they are used."""


@dataclass(frozen=True)
class Affine:
    """Traced solver of x = A x + b, A given by its product: a step is a cycle of GMRES on (I − A) d = residual."""

    product: MatVec
    linear_solver: GMRES

    def init(self, f: Evaluator, z0: jax.Array) -> ByResidual:
        """Evaluate the initial guess, shape (batch, ...)."""
        return ByResidual(z0, f.residual(z0))

    def step(self, f: Evaluator, state: ByResidual) -> ByResidual:
        """Solve for the step, to most of what is missing to the tolerance."""
        residual = state.residual

        def missing(z: jax.Array, residual: jax.Array) -> jax.Array:
            norm, length = f.measure(residual, z)
            tolerance = f.options.atol + f.options.rtol * length
            return SHARE * jnp.minimum(tolerance / jnp.where(norm > 0, norm, 1.0), 1.0)

        rtol = apart(missing, state.z, residual, like=residual)
        z = state.z + solve(self.product, residual, rtol, f.active, self.linear_solver.restart)
        return ByResidual(z, f.residual(z))


class _Last(NamedTuple):
    """What is small of a cycle: its last vector, the column of H = Q R that comes with it, Q as turns, and Qᵀ b.

    Of shapes (batch, ...), (batch, restart + 1), (3, batch, restart) for cosines, sines and R's diagonal, and
    (batch, restart + 1).
    `running`, shape (batch,), says who is not done after `size` products.
    """

    size: jax.Array
    vector: jax.Array
    column: jax.Array
    turns: jax.Array
    rhs: jax.Array
    running: jax.Array


class _Cycle(NamedTuple):
    """The vectors but the last, (restart, batch, ...), the columns of R, (restart, batch, restart), and the rest."""

    basis: jax.Array
    triangle: jax.Array
    last: _Last


def solve(product: MatVec, b: jax.Array, rtol: jax.Array, active: jax.Array, restart: int) -> jax.Array:
    """Return x, shape (batch, ...), with ‖b − (I − A) x‖ ≤ rtol[i]·‖b‖, as far as `restart` products with A allow."""
    batch, dtype = b.shape[0], real(b.dtype)
    restart = min(restart, flat(b).shape[1])
    precision = 10 * float(jnp.finfo(b.dtype).eps)

    def begin(b: jax.Array, active: jax.Array) -> tuple[_Cycle, jax.Array, jax.Array]:
        (norm,) = roots(b)
        running = active & jnp.isfinite(norm) & (norm > 0)
        vector, nothing = _normalized(b, norm, running), jnp.zeros((batch, restart + 1), dtype)
        rhs = nothing.at[:, 0].set(jnp.where(running, norm, 0.0))
        turns, triangle = jnp.zeros((3, batch, restart), dtype), jnp.zeros((restart, batch, restart), dtype)
        last = _Last(jnp.asarray(0, jnp.int32), vector, nothing, turns, rhs, running)
        return _Cycle(jnp.zeros((restart, *b.shape), b.dtype), triangle, last), norm, jnp.any(running)

    def turned(last: _Last) -> _Last:
        j, rest, column, turns, rhs, running = last
        (left,) = roots(rest)
        column = jnp.where(jnp.arange(restart + 1) == j + 1, left[:, None], column)
        size = jnp.sqrt(total(column * column))
        running = running & jnp.isfinite(size)
        column, size = jnp.where(running[:, None], column, 0.0), jnp.where(running, size, 0.0)
        column, turns, rhs = _turned(column, turns, rhs, precision * size, j)
        running = running & (left > precision * size)
        vector = _normalized(rest, left, running)
        running = running & (jnp.abs(_at(rhs, j + 1)) > jnp.maximum(rtol, precision) * norm)
        return _Last(j + 1, vector, column, turns, rhs, running)

    def orthogonalized(each: tuple[Any, ...]) -> tuple[Any, ...]:
        basis, last, image = each
        basis = _put(basis, last.vector, last.size)
        column, rest = _orthogonalized(basis, last.vector - image, last.size)
        return basis, last._replace(vector=rest, column=jnp.pad(column, ((0, 0), (0, 1)))), image

    def extend(cycle: _Cycle) -> _Cycle:
        basis, triangle, last = cycle
        basis, last, _ = together(orthogonalized, (basis, last, product(last.vector)), b, begun)
        last = together(turned, last, b, begun)
        return _Cycle(basis, _put(triangle, last.column[:, :-1], last.size - 1), last)

    more = lambda cycle: (cycle.last.size < restart) & jnp.any(cycle.last.running)  # noqa: E731
    start, norm, begun = apart(begin, b, active, like=b)
    return apart(_combined, while_loop(more, extend, start), like=b)


def _combined(cycle: _Cycle) -> jax.Array:
    """Return the x of least residual, shape (batch, ...), of those that the vectors span."""
    restart, like = len(cycle.basis), cycle.last.vector
    weights = _weights(cycle.triangle, cycle.last.turns[2], cycle.last.rhs[:, :restart])
    if cycle.basis.nbytes <= SMALL:
        vectors = cycle.basis.reshape(restart, len(like), -1)
        return jnp.sum(weights.T[:, :, None].astype(like.dtype) * vectors, axis=0).reshape(like.shape)
    add = lambda i, x: x + rows(weights[:, i], like) * cycle.basis[i]  # noqa: E731
    x: jax.Array = fori_loop(0, cycle.last.size, add, jnp.zeros_like(like))
    return x


def _put(array: jax.Array, part: jax.Array, place: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(array, part, place, 0)


def _at(array: jax.Array, place: jax.Array) -> jax.Array:
    return jax.lax.dynamic_index_in_dim(array, place, array.ndim - 1, keepdims=False)


def _normalized(x: jax.Array, norm: jax.Array, mask: jax.Array) -> jax.Array:
    size = jnp.where(mask & (norm > 0), norm, 1.0)
    return jnp.where(rows(mask, x), x / rows(size, x), 0)


def _orthogonalized(basis: jax.Array, product: jax.Array, j: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return a product's components along the first j + 1 vectors, and the rest."""
    if basis.nbytes <= SMALL:
        return _projected_twice(basis, product)
    return _projected_in_turn(basis, product, j)


def _projected_twice(basis: jax.Array, product: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return components and rest by classical Gram–Schmidt, twice; vectors that there are not yet are zero."""
    vectors = basis.reshape(basis.shape[0], basis.shape[1], -1)
    wide = real(product.dtype)

    def project(rest: jax.Array) -> tuple[jax.Array, jax.Array]:
        overlaps = jnp.sum(vectors.astype(wide) * rest.astype(wide), axis=2)
        return overlaps, rest - jnp.sum(overlaps[:, :, None].astype(rest.dtype) * vectors, axis=0)

    first, rest = project(flat(product))
    second, rest = project(rest)
    return (first + second).T, rest.reshape(product.shape)


def _projected_in_turn(basis: jax.Array, product: jax.Array, j: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return components and rest by modified Gram–Schmidt, which reads no vector that there is not yet."""

    def take(i: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        column, rest = carry
        overlap = dot(basis[i], rest)
        return column.at[:, i].set(overlap), rest - rows(overlap, rest) * basis[i]

    column = jnp.zeros((product.shape[0], basis.shape[0]), real(product.dtype))
    found: tuple[jax.Array, jax.Array] = fori_loop(0, j + 1, take, (column, product))
    return found


def _turned(
    column: jax.Array, turns: jax.Array, rhs: jax.Array, rounding: jax.Array, j: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return column j of R, the turns with the one that makes it so, and Qᵀ b: `equilib.numerics.hessenberg`."""
    place = jnp.arange(column.shape[1])

    def turn(i: jax.Array, x: jax.Array) -> jax.Array:
        (cosine, sine, _), upper, lower = _at(turns, i)[:, :, None], _at(x, i)[:, None], _at(x, i + 1)[:, None]
        x = jnp.where(place == i + 1, cosine * lower - sine * upper, x)
        return jnp.where(place == i, cosine * upper + sine * lower, x)

    column = fori_loop(0, j, turn, column)
    upper, lower = _at(column, j), _at(column, j + 1)
    length = jnp.hypot(upper, lower)
    nothing = length <= rounding
    divisor = jnp.where(nothing, 1.0, length)
    diagonal, upper, lower = (jnp.where(nothing, *each) for each in ((0.0, length), (0.0, upper), (1.0, lower)))
    last = jnp.stack([upper / divisor, lower / divisor, diagonal])
    turns = jnp.where(jnp.arange(turns.shape[2]) == j, last[:, :, None], turns)
    above = jnp.where(place < j, column, 0.0)
    return jnp.where(place == j, diagonal[:, None], above), turns, turn(j, rhs)


def _weights(triangle: jax.Array, diagonal: jax.Array, rhs: jax.Array) -> jax.Array:
    """Return the y of least residual; zeros at columns that a sample does not have or that add nothing."""
    columns, used = jnp.moveaxis(triangle, 0, 1), diagonal > 0
    matrix = jnp.where(used[:, None, :], columns, jnp.eye(triangle.shape[0], dtype=triangle.dtype))
    rhs = jnp.where(used, rhs, 0.0)[:, :, None]
    solved: jax.Array = jax.lax.linalg.triangular_solve(matrix, rhs, left_side=True, lower=True, transpose_a=True)
    return solved[:, :, 0]
