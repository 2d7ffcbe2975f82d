"""Both forms of Broyden's method inside a loop that JAX traces: the steps of `iteration`, in arrays of fixed shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from equilib.jax.traced.driver import Evaluator
from equilib.jax.traced.norms import dot, flat, largest, real, roots, rows
from equilib.jax.traced.rare import rarely
from equilib.jax.traced.varying import cond, fori_loop
from equilib.numerics.dense import require_small
from equilib_broyden.iteration import RESTART

SMALL = 1 << 16
"""Bytes of histories that are sooner multiplied as a whole than as far as they are used."""


class Inverse(Protocol):
    """**Protocol:** what is done with H, an approximation of the inverse Jacobian of each sample, a tree of arrays."""

    def apply(self, inverse: Any, x: jax.Array) -> jax.Array:
        """Return H x."""

    def with_room(self, inverse: Any, image: jax.Array, residual: jax.Array) -> tuple[Any, jax.Array]:
        """Return an H that can be updated without forgetting, and its image of the residual."""

    def updated(self, inverse: Any, step: jax.Array, change: jax.Array, image: jax.Array) -> Any:
        """Return the good Broyden update; `image` is H·change."""

    def apply_updated(self, inverse: Any, x: jax.Array, before: jax.Array) -> jax.Array:
        """Return H x, given what it was before the last update."""


class TracedState(NamedTuple):
    """A `BroydenState`; for the full inverse also the guess, and which samples have begun again."""

    z: jax.Array
    residual: jax.Array
    inverse: Any
    image: jax.Array
    best: jax.Array
    rejections: jax.Array
    failed: jax.Array
    guess: tuple[jax.Array, ...] = ()
    restarted: Any = ()
    linearizations: Any = 0


def start(f: Evaluator, z0: jax.Array, kind: Inverse, inverse: Any) -> TracedState:
    """Evaluate the initial guess."""
    residual = f.residual(z0)
    (norm,) = roots(residual)
    none = jnp.zeros(z0.shape[0], jnp.int32)
    return TracedState(z0, residual, inverse, kind.apply(inverse, residual), norm, none, none > 0)


def attempt(f: Evaluator, state: TracedState, kind: Inverse, *, growth: float, rejections: int) -> TracedState:
    """Do as `equilib_broyden.iteration.attempt` does."""
    length = 0.5 ** jnp.maximum(state.rejections - RESTART + 1, 0).astype(state.best.dtype)
    step = jnp.where(rows(f.active, state.z), -rows(length, state.z) * state.image, 0)
    new = state.z + step
    residual = f.residual(new)
    (norm,) = roots(residual)
    kept = norm <= growth * state.best
    in_a_row = jnp.maximum(state.rejections + 1, jnp.where(jnp.isfinite(norm), 0, RESTART))
    in_a_row = jnp.where(kept, 0, in_a_row)
    learned = jnp.where(rows(kept | (in_a_row <= RESTART), step), step, 0)
    room, old = kind.with_room(state.inverse, state.image, state.residual)
    image = kind.apply(room, residual)
    inverse = kind.updated(room, learned, residual - state.residual, image - old)
    keep = rows(kept, new)
    standing = jnp.where(keep, residual, state.residual)
    return state._replace(
        z=jnp.where(keep, new, state.z),
        residual=standing,
        inverse=inverse,
        image=kind.apply_updated(inverse, standing, jnp.where(keep, image, old)),
        best=jnp.where(kept, jnp.minimum(norm, state.best), state.best),
        rejections=in_a_row,
        failed=in_a_row > rejections,
    )


class LowRank(NamedTuple):
    """H = −I + Σ uᵢ vᵢᵀ, with u and v, shape (memory, batch, ...), in a ring; so many were put into it."""

    left: jax.Array
    right: jax.Array
    count: jax.Array


@dataclass(frozen=True)
class OfLowRank:
    """What `LowRankInverse` does, in a ring."""

    def apply(self, inverse: LowRank, x: jax.Array) -> jax.Array:
        """Return H x."""
        return _combined(-x, inverse.left, inverse.right, x, inverse.count)

    def with_room(self, inverse: LowRank, image: jax.Array, residual: jax.Array) -> tuple[LowRank, jax.Array]:
        """Return H without its oldest product where it can hold no more."""
        left, _, count = inverse
        slot = count % left.shape[0]

        def forgotten(_: tuple[LowRank, jax.Array]) -> tuple[LowRank, jax.Array]:
            room = inverse._replace(left=_put(left, jnp.zeros_like(left[0]), slot))
            return room, self.apply(room, residual)

        return rarely(count >= left.shape[0], forgotten, (inverse, image))

    def updated(self, inverse: LowRank, step: jax.Array, change: jax.Array, image: jax.Array) -> LowRank:
        """Return the good Broyden update."""
        left, right, count = inverse
        slot = count % left.shape[0]
        u, v = correction(step - image, _combined(-step, right, left, step, count), change)
        return LowRank(_put(left, u, slot), _put(right, v, slot), count + 1)

    def apply_updated(self, inverse: LowRank, x: jax.Array, before: jax.Array) -> jax.Array:
        """Return H x, given what it was before the last update."""
        slot = (inverse.count - 1) % inverse.left.shape[0]
        return before + rows(dot(inverse.right[slot], x), x) * inverse.left[slot]


def _put(array: jax.Array, part: jax.Array, slot: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(array, part, slot, 0)


def _combined(base: jax.Array, left: jax.Array, right: jax.Array, x: jax.Array, count: jax.Array) -> jax.Array:
    """Return base + Σ uᵢ ⟨vᵢ, x⟩ over the products that there are."""
    if left.nbytes <= SMALL:
        each = left.reshape(left.shape[0], x.shape[0], -1), right.reshape(left.shape[0], x.shape[0], -1)
        weights = jnp.sum(each[1] * flat(x), axis=2, keepdims=True)
        return base + jnp.sum(weights * each[0], axis=0).reshape(x.shape)
    add = lambda i, total: total + rows(dot(right[i], x), x) * left[i]  # noqa: E731
    combined: jax.Array = fori_loop(0, jnp.minimum(count, left.shape[0]), add, base)
    return combined


def correction(numerator: jax.Array, v: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return numerator / ⟨v, y⟩ and v, shape (batch, ...), as `equilib.numerics.low_rank.correction` does."""
    info = jnp.finfo(v.dtype)
    size = largest(flat(v))
    tiny = float(info.smallest_normal)
    size = jnp.where((size >= tiny) & jnp.isfinite(size), size, tiny)
    v = rows(jnp.exp2(-jnp.floor(jnp.log2(size))), v) * v
    product = dot(v, y)
    size, length = roots(y, v)
    safe = jnp.isfinite(size) & (jnp.abs(product) > 10 * float(info.eps) * length * size)
    factor = 1 / jnp.where(safe, product, 1.0)
    keep = rows(safe, v)
    return jnp.where(keep, rows(factor, v) * numerator, 0), jnp.where(keep, v, 0)


@dataclass(frozen=True)
class TracedLimited:
    """`LimitedMemoryBroyden`, traced."""

    memory: int
    growth: float
    rejections: int

    def init(self, f: Evaluator, z0: jax.Array) -> TracedState:
        """Evaluate the initial guess."""
        memory = max(min(self.memory, f.options.max_steps), 1)
        nothing = jnp.zeros((memory, *z0.shape), z0.dtype)
        return start(f, z0, OfLowRank(), LowRank(nothing, nothing, jnp.asarray(0, jnp.int32)))

    def step(self, f: Evaluator, state: TracedState) -> TracedState:
        """Try the quasi-Newton step, learn from it, and go on from the better place."""
        due, kind = f.active & (state.rejections == RESTART), OfLowRank()

        def cleared(state: TracedState) -> TracedState:
            keep = ~due.reshape(1, -1, *(1,) * (state.z.ndim - 1))
            inverse = state.inverse._replace(left=jnp.where(keep, state.inverse.left, 0))
            return state._replace(inverse=inverse, image=kind.apply(inverse, state.residual))

        state = rarely(jnp.any(due), cleared, state)
        return attempt(f, state, kind, growth=self.growth, rejections=self.rejections)


@dataclass(frozen=True)
class OfMatrix:
    """What `DenseInverse` does, with a matrix of shape (batch, size, size)."""

    def apply(self, inverse: jax.Array, x: jax.Array) -> jax.Array:
        """Return H x."""
        return jnp.einsum("bij,bj->bi", inverse, flat(x)).reshape(x.shape)

    def with_room(self, inverse: jax.Array, image: jax.Array, residual: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return H: a matrix forgets nothing."""
        return inverse, image

    def updated(self, inverse: jax.Array, step: jax.Array, change: jax.Array, image: jax.Array) -> jax.Array:
        """Return the good Broyden update."""
        right = jnp.einsum("bij,bi->bj", inverse, flat(step))
        left, right = correction(flat(step - image), right, flat(change))
        return inverse + left[:, :, None] * right[:, None, :]

    def apply_updated(self, inverse: jax.Array, x: jax.Array, before: jax.Array) -> jax.Array:
        """Return H x."""
        return self.apply(inverse, x)


@dataclass(frozen=True)
class TracedFull:
    """`Broyden`, traced."""

    jacobian: str
    growth: float
    rejections: int
    largest: int
    progress: float

    def init(self, f: Evaluator, z0: jax.Array) -> TracedState:
        """Evaluate the initial guess; raises StateTooLargeError as `Broyden` does."""
        require_small(flat(z0).shape[1], self.largest, solver="broyden", instead="lbroyden")
        began = start(f, z0, OfMatrix(), _picard(z0))
        waiting = self.jacobian != "products"
        guess = (z0, began.residual, began.best)
        return began._replace(
            guess=guess, restarted=(jnp.zeros_like(began.failed), jnp.asarray(waiting)), linearizations=jnp.asarray(0)
        )

    def step(self, f: Evaluator, state: TracedState) -> TracedState:
        """Try the quasi-Newton step, learn from it, and go on from the better place."""
        due = f.active & (state.rejections == RESTART)
        again = jnp.any(due) | ~state.restarted[1]
        state = rarely(again, lambda state: self._begun_again(f, state, due), state)
        return attempt(f, state, OfMatrix(), growth=self.growth, rejections=self.rejections)

    def _begun_again(self, f: Evaluator, state: TracedState, due: jax.Array) -> TracedState:
        (z0, residual0, first), (restarted, begun) = state.guess, state.restarted
        back = due & ~restarted & (state.best > self.progress * first) & (self.jacobian == "as-needed")
        z = jnp.where(rows(back, z0), z0, state.z)
        residual = jnp.where(rows(back, z0), residual0, state.residual)
        fresh = _picard(z) if self.jacobian == "identity" else _true(f, z)
        inverse = jnp.where((due | ~begun)[:, None, None], fresh, state.inverse)
        return state._replace(
            z=z,
            residual=residual,
            inverse=inverse,
            image=OfMatrix().apply(inverse, residual),
            best=jnp.where(back, first, state.best),
            restarted=(restarted | due, jnp.ones_like(begun)),
            linearizations=state.linearizations + (self.jacobian != "identity"),
        )


def _picard(like: jax.Array) -> jax.Array:
    size = flat(like).shape[1]
    return jnp.tile(-jnp.eye(size, dtype=like.dtype), (like.shape[0], 1, 1))


def _true(f: Evaluator, z: jax.Array) -> jax.Array:
    """Return (J − I)⁻¹ at z, −I where it is not finite or zero."""
    size, identity = flat(z).shape[1], -_picard(z)
    _, product = jax.linearize(f.call, z)
    along = lambda unit: flat(product(jnp.broadcast_to(unit, (z.shape[0], size)).reshape(z.shape)))  # noqa: E731
    matrix = jnp.moveaxis(jax.vmap(along)(jnp.eye(size, dtype=z.dtype)), 0, 2) - identity
    finite = jnp.all(jnp.isfinite(matrix), axis=(1, 2))
    # Nothing is inverted in half precision.
    matrix = jnp.where(finite[:, None, None], matrix, identity).astype(real(z.dtype))
    inverse = jnp.linalg.inv(matrix)
    sizes, length = roots(matrix, identity), roots(inverse)[0]
    singular = ~(10 * float(jnp.finfo(z.dtype).eps) * sizes[0] * length <= 0.1 * sizes[1])
    shortest = lambda: jnp.where(singular[:, None, None], jnp.linalg.pinv(matrix), inverse)  # noqa: E731
    inverse = cond(jnp.any(singular), shortest, lambda: inverse)
    (length,) = roots(inverse)
    good = finite & jnp.isfinite(length) & (length > 0)
    return jnp.where(good[:, None, None], inverse.astype(z.dtype), -identity)
