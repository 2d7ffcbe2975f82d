"""Anderson mixing inside a traced loop: the formula of the plugin `anderson`, with secant pairs in a ring.

In the core because more than one plugin mixes, and none may import another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from equilib.jax.traced.driver import Evaluator
from equilib.jax.traced.kernel import apart
from equilib.jax.traced.norms import Root, dot, flat, real, roots, rows
from equilib.jax.traced.places import plain
from equilib.jax.traced.rare import rarely
from equilib.jax.traced.varying import fori_loop

RESTART = 2
"""Steps taken back in a row after which a sample forgets its pairs."""

NORM = Root(mean=False)

SMALL = 1 << 16
"""Bytes of pairs that are sooner multiplied at once than one by one."""


class Place(NamedTuple):
    """An iterate, its residual, and the Euclidean norm of that, shape (batch,)."""

    z: jax.Array
    residual: jax.Array
    norm: jax.Array


class Pairs(NamedTuple):
    """The last pairs Δf(z) and Δr of each sample, shape (pairs, batch, ...), and what the mixing weights depend on.

    ⟨Δrᵢ, Δrⱼ⟩, ⟨Δrᵢ, r⟩ and which pairs are usable have the shapes (batch, pairs, pairs) and (batch, pairs); `unit`,
    shape (batch,), is what products are measured in.
    """

    images: jax.Array
    changes: jax.Array
    gram: jax.Array
    overlap: jax.Array
    usable: jax.Array
    unit: jax.Array


class AndersonState(NamedTuple):
    """What the plugin's state of this name holds."""

    z: jax.Array
    residual: jax.Array
    pairs: Pairs
    least: Place
    rejections: jax.Array
    failed: jax.Array


@dataclass(frozen=True)
class TracedAnderson:
    """Anderson mixing with the options of the plugin's."""

    memory: int = 6
    mixing: float = 1.0
    regularization: float = 1e-10
    growth: float = 1e4
    rejections: int = 8
    restart: str = "least"

    def init(self, f: Evaluator, z: jax.Array) -> AndersonState:
        """Return the state of the initial guess, shape (batch, ...)."""
        residual = f.residual(z)
        return apart(self._begun, z, residual, like=z)

    def _begun(self, z: jax.Array, residual: jax.Array) -> AndersonState:
        (norm,) = roots(residual)
        batch, m = z.shape[0], self.memory
        nothing = jnp.zeros((m, *z.shape), z.dtype)
        gram, overlap = jnp.zeros((batch, m, m), norm.dtype), jnp.zeros((batch, m), norm.dtype)
        pairs = Pairs(nothing, nothing, gram, overlap, overlap > 0, _units(norm, z.dtype))
        none = jnp.zeros(batch, jnp.int32)
        return AndersonState(z, residual, pairs, Place(z, residual, norm), none, none > 0)

    def propose(self, f: Evaluator, state: AndersonState) -> tuple[jax.Array, jax.Array]:
        """Return the mixture and its residual, shape (batch, ...)."""
        new = apart(self._mixture, state, like=state.z)
        return new, f.residual(new)

    def _mixture(self, state: AndersonState) -> jax.Array:
        pairs = self._usable(state)
        return self._mixed(state, pairs, _weights(pairs, self._ridge(state.z)))

    def accept(self, f: Evaluator, state: AndersonState, proposed: tuple[jax.Array, jax.Array]) -> AndersonState:
        """Go on from the better place, shape (batch, ...), the new one or an earlier one."""
        (new, residual), slot = proposed, f.steps % self.memory
        pairs = _extended(self._usable(state), state, new, residual, f.steps)
        norm = NORM.quickly(plain(residual))
        usual = NORM.right(norm, residual) & (norm <= self.growth * state.least.norm)
        tried = Place(new, residual, norm)
        least = _where(norm < state.least.norm, tried, state.least)
        accepted = state._replace(
            z=new,
            residual=residual,
            pairs=pairs,
            least=least,
            rejections=jnp.zeros_like(state.rejections),
            failed=jnp.zeros_like(state.failed),
        )
        return rarely(~jnp.all(usual), lambda accepted: self._judged(state, accepted, slot), accepted)

    def _usable(self, state: AndersonState) -> Pairs:
        usable = state.pairs.usable & (state.rejections < RESTART)[:, None]
        return state.pairs._replace(usable=usable)

    def _judged(self, state: AndersonState, tried: AndersonState, slot: jax.Array) -> AndersonState:
        """Return where to go on of a place that some samples may reject."""
        new, residual, before = tried.z, tried.residual, state.residual
        (norm,) = roots(residual)
        accepted = norm <= self.growth * state.least.norm
        place = Place(new, residual, norm)
        least = _where(norm < state.least.norm, place, state.least)
        rejections = jnp.maximum(state.rejections + 1, jnp.where(jnp.isfinite(norm), 0, RESTART))
        rejections = jnp.where(accepted, 0, rejections)
        back = Place(state.z, before, norm)
        if self.restart == "least":
            back = _where(rejections >= RESTART, least, back)
        place = _where(accepted, place, back)
        pairs = tried.pairs
        by_old = _overlaps((residual - before)[None], before, pairs.unit, 1)[:, 0]
        overlap = jnp.where(accepted[:, None], pairs.overlap, _put(state.pairs.overlap, by_old, slot, 1))
        return tried._replace(
            z=place.z,
            residual=place.residual,
            pairs=pairs._replace(overlap=overlap),
            least=least,
            rejections=rejections,
            failed=rejections > self.rejections,
        )

    def _ridge(self, z: jax.Array) -> float:
        return self.regularization + 10 * float(jnp.finfo(z.dtype).eps)

    def _mixed(self, state: AndersonState, pairs: Pairs, weights: jax.Array) -> jax.Array:
        z, residual, used = state.z, state.residual, weights != 0

        def combined(kept: jax.Array | None) -> jax.Array:
            new = z + (residual if kept is None else (1 - kept) * residual)
            for i in range(self.memory):
                image = pairs.images[i] if kept is None else pairs.images[i] - kept * pairs.changes[i]
                # Selected: a discarded pair may hold nan.
                new = new + jnp.where(rows(used[:, i], z), rows(-weights[:, i], z) * image, 0)
            return new

        def shorter(_: jax.Array | None) -> jax.Array:
            length = 0.5 ** jnp.maximum(state.rejections - RESTART + 1, 0).astype(weights.dtype)
            return combined(rows(1 - self.mixing * length, z))

        if self.mixing != 1.0:
            return shorter(None)
        return rarely(jnp.any(state.rejections > 0), shorter, combined(None))


def _extended(pairs: Pairs, state: AndersonState, new: jax.Array, residual: jax.Array, steps: jax.Array) -> Pairs:
    """Return the pairs with the last one, and their overlaps with the new residual."""
    memory, change = pairs.images.shape[0], residual - state.residual
    slot, count = steps % memory, jnp.minimum(steps + 1, memory)
    changes = _put(pairs.changes, change, slot, 0)
    images = _put(pairs.images, new - state.z + change, slot, 0)
    by_change, overlap = (_overlaps(changes, x, pairs.unit, count) for x in (change, residual))
    gram = _put(_put(pairs.gram, by_change, slot, 1), by_change, slot, 2)
    return Pairs(images, changes, gram, overlap, pairs.usable | (jnp.arange(memory) == slot), pairs.unit)


def _put(array: jax.Array, part: jax.Array, place: jax.Array, axis: int) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(array, part, place, axis)


def _weights(pairs: Pairs, ridge: float) -> jax.Array:
    """Return the γ that `equilib.numerics.secants` does, shape (batch, pairs)."""
    identity = jnp.eye(pairs.gram.shape[1], dtype=pairs.gram.dtype)
    squares = jnp.sum(jnp.where(identity > 0, pairs.gram, 0.0), axis=2)
    usable = pairs.usable & jnp.isfinite(squares) & (squares > 0) & jnp.isfinite(pairs.overlap)
    gram = jnp.where(usable[:, :, None] & usable[:, None, :], pairs.gram, identity)
    squares, overlap = jnp.where(usable, squares, 1.0), jnp.where(usable, pairs.overlap, 0.0)
    scale = 1 / jnp.sqrt(squares)
    matrix = gram * scale[:, :, None] * scale[:, None, :] + ridge * identity
    return scale * _solved(matrix, (overlap * scale)[:, :, None])[:, :, 0]


def _solved(matrix: jax.Array, rhs: jax.Array) -> jax.Array:
    """Solve with a matrix of each sample that is positive definite, but for rounding."""
    factor = jax.lax.linalg.cholesky(matrix, symmetrize_input=False)
    half = jax.lax.linalg.triangular_solve(factor, rhs, left_side=True, lower=True)
    whole = jax.lax.linalg.triangular_solve(factor, half, left_side=True, lower=True, transpose_a=True)
    solved: jax.Array = rarely(~jnp.all(jnp.isfinite(whole)), lambda _: jnp.linalg.solve(matrix, rhs), whole)
    return solved


def _overlaps(arrays: jax.Array, x: jax.Array, unit: jax.Array, count: jax.Array | int) -> jax.Array:
    """Return ⟨aᵢ, x⟩ of so many arrays in units squared, shape (batch, arrays), zeros of others."""
    wide, scale = real(x.dtype), rows(1 / unit, x)
    right = x * scale
    if arrays.nbytes <= SMALL:
        every = (arrays * scale).reshape(arrays.shape[0], x.shape[0], -1).astype(wide)
        return jnp.sum(every * flat(right).astype(wide), axis=2).T
    take = lambda i, found: _put(found, dot(arrays[i] * scale, right), i, 1)  # noqa: E731
    found: jax.Array = fori_loop(0, count, take, jnp.zeros((x.shape[0], arrays.shape[0]), wide))
    return found


def _units(norm: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Return powers of two near the norms of samples whose squares might leave the range of a dtype, 1 for others."""
    info = jnp.finfo(dtype)
    least, most = (float(np.log2(float(each))) for each in (info.smallest_normal, info.max))
    exponent = jnp.rint(jnp.log2(jnp.where((norm > 0) & jnp.isfinite(norm), norm, 1.0)))
    extreme = (exponent < least / 4) | (exponent > most / 4)
    return jnp.exp2(jnp.where(extreme, jnp.clip(exponent, least + 2, most - 2), 0.0))


def _where(samples: jax.Array, one: Place, other: Place) -> Place:
    return Place(
        jnp.where(rows(samples, one.z), one.z, other.z),
        jnp.where(rows(samples, one.residual), one.residual, other.residual),
        jnp.where(samples, one.norm, other.norm),
    )
