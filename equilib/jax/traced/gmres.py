"""Batched GMRES inside a traced loop: `equilib.numerics.gmres`, with a basis of fixed shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from equilib.jax.traced.driver import Evaluator
from equilib.jax.traced.norms import dot, flat, real, roots, rows
from equilib.numerics.affine import SHARE
from equilib.numerics.gmres import GMRES

MatVec = Callable[[jax.Array], jax.Array]

SMALL = 1 << 16
"""Bytes of a basis that are sooner multiplied as a whole than as far as they are used."""


class AffineState(NamedTuple):
    """An iterate of x = A x + b and its residual, arrays (batch, ...)."""

    z: jax.Array
    residual: jax.Array


@dataclass(frozen=True)
class Affine:
    """Traced solver of x = A x + b, A given by its product: a step is a cycle of GMRES on (I − A) d = residual."""

    product: MatVec
    linear_solver: GMRES

    def init(self, f: Evaluator, z0: jax.Array) -> AffineState:
        """Evaluate the initial guess, shape (batch, ...)."""
        return AffineState(z0, f.residual(z0))

    def step(self, f: Evaluator, state: AffineState) -> AffineState:
        """Solve for the step, to most of what is missing to the tolerance."""
        norm, length = f.measure(state.residual, state.z)
        tolerance = f.options.atol + f.options.rtol * length
        rtol = SHARE * jnp.minimum(tolerance / jnp.where(norm > 0, norm, 1.0), 1.0)
        matvec = lambda v: v - self.product(v)  # noqa: E731
        z = state.z + solve(matvec, state.residual, rtol, f.active, self.linear_solver.restart)
        return AffineState(z, f.residual(z))


class _Cycle(NamedTuple):
    """The columns of V so far, R and Q with the right-hand side before it, of H = Q R, and who is not done."""

    size: jax.Array
    basis: jax.Array
    triangle: jax.Array
    turned: jax.Array
    running: jax.Array


def solve(matvec: MatVec, b: jax.Array, rtol: jax.Array, active: jax.Array, restart: int) -> jax.Array:
    """Return x, shape (batch, ...), with ‖b − A x‖ ≤ rtol[i]·‖b‖, as far as `restart` products allow."""
    batch, dtype = b.shape[0], real(b.dtype)
    restart = min(restart, flat(b).shape[1])
    (norm,) = roots(b)
    running = active & jnp.isfinite(norm) & (norm > 0)
    precision = 10 * float(jnp.finfo(b.dtype).eps)
    basis = jnp.zeros((restart + 1, *b.shape), b.dtype).at[0].set(_normalized(b, norm, running))
    turned = jnp.tile(jnp.eye(restart + 1, restart + 2, 1, dtype=dtype), (batch, 1, 1))
    turned = turned.at[:, 0, 0].set(jnp.where(running, norm, 0.0))

    def extend(cycle: _Cycle) -> _Cycle:
        j, basis, triangle, turned, running = cycle
        column, left, rest = _orthogonalized(basis, matvec(basis[j]), j)
        size = jnp.sqrt(jnp.sum(column * column, axis=1))
        running = running & jnp.isfinite(size)
        column, size = jnp.where(running[:, None], column, 0.0), jnp.where(running, size, 0.0)
        triangle, turned = _appended(triangle, turned, column, precision * size, j)
        residual = jnp.abs(turned[:, j + 1, 0])
        running = running & (left > precision * size)
        basis = jax.lax.dynamic_update_index_in_dim(basis, _normalized(rest, left, running), j + 1, 0)
        return _Cycle(j + 1, basis, triangle, turned, running & (residual > jnp.maximum(rtol, precision) * norm))

    start = _Cycle(jnp.asarray(0), basis, jnp.zeros((batch, restart, restart), dtype), turned, running)
    more = lambda cycle: (cycle.size < restart) & jnp.any(cycle.running)  # noqa: E731
    cycle = jax.lax.while_loop(more, extend, start)
    weights = _weights(cycle.triangle, cycle.turned[:, :restart, 0])
    if basis.nbytes <= SMALL:
        vectors = cycle.basis[:restart].reshape(restart, batch, -1)
        return jnp.sum(weights.T[:, :, None].astype(b.dtype) * vectors, axis=0).reshape(b.shape)
    add = lambda i, x: x + rows(weights[:, i], b) * cycle.basis[i]  # noqa: E731
    x: jax.Array = jax.lax.fori_loop(0, cycle.size, add, jnp.zeros_like(b))
    return x


def _normalized(x: jax.Array, norm: jax.Array, mask: jax.Array) -> jax.Array:
    size = jnp.where(mask & (norm > 0), norm, 1.0)
    return jnp.where(rows(mask, x), x / rows(size, x), 0)


def _orthogonalized(basis: jax.Array, product: jax.Array, j: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return a product's components along the first j + 1 vectors, the norm of the rest behind them, and both."""
    if basis.nbytes <= SMALL:
        column, rest = _projected_twice(basis, product)
    else:
        column, rest = _projected_in_turn(basis, product, j)
    (left,) = roots(rest)
    return jnp.where(jnp.arange(column.shape[1]) == j + 1, left[:, None], column), left, rest


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
    found: tuple[jax.Array, jax.Array] = jax.lax.fori_loop(0, j + 1, take, (column, product))
    return found


def _appended(
    triangle: jax.Array, turned: jax.Array, column: jax.Array, rounding: jax.Array, j: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return R and Q with a column more, as `equilib.numerics.hessenberg` has them."""
    column = jnp.sum(turned[:, :, 1:] * column[:, None, :], axis=2)
    upper, lower = column[:, j], column[:, j + 1]
    length = jnp.hypot(upper, lower)
    nothing = length <= rounding
    divisor = jnp.where(nothing, 1.0, length)
    cosine, sine = (
        (jnp.where(nothing, 0.0, upper) / divisor)[:, None, None],
        (jnp.where(nothing, 1.0, lower) / divisor)[:, None, None],
    )
    size = triangle.shape[1]
    row, place = jnp.arange(size + 1)[:, None], jnp.arange(size)
    above = jnp.where(place < j, column[:, :-1], 0.0)
    last = jnp.where(place == j, jnp.where(nothing, 0.0, length)[:, None], above)
    triangle = jnp.where(place == j, last[:, :, None], triangle)
    first, second = turned[:, j][:, None], turned[:, j + 1][:, None]
    lower_row = jnp.where(row == j + 1, cosine * second - sine * first, turned)
    return triangle, jnp.where(row == j, cosine * first + sine * second, lower_row)


def _weights(triangle: jax.Array, rhs: jax.Array) -> jax.Array:
    """Return the y of least residual; zeros at columns that a sample does not have or that add nothing."""
    used = jnp.diagonal(triangle, axis1=1, axis2=2) > 0
    matrix = jnp.where(used[:, :, None], triangle, jnp.eye(triangle.shape[1], dtype=triangle.dtype))
    rhs = jnp.where(used, rhs, 0.0)
    solved: jax.Array = jax.lax.linalg.triangular_solve(matrix, rhs[:, :, None], left_side=True, lower=False)[:, :, 0]
    return solved
