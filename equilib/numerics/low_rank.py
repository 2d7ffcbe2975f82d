"""The inverse Jacobian as −I plus one outer product for each step, for each sample."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from equilib.arrays import Array, array_namespace, dot, rows_like, where_samples, zeros_like
from equilib.fixed_points.evaluator import Evaluator
from equilib.fixed_points.problem import FixedPointProblem
from equilib.numerics.combinations import combined, overlaps


@dataclass(frozen=True)
class LowRankInverse:
    """H = −I + Σ uᵢ vᵢᵀ, an approximation of the inverse Jacobian of f(z) − z; u and v have the shape of z.

    At first H = −I: exact for constant f, and its first step −H r = r is Picard's. (Started from +I, the method goes
    away from f(z).) No more than `memory` products are kept.
    """

    memory: int
    left: tuple[Array, ...] = field(default=(), repr=False)
    right: tuple[Array, ...] = field(default=(), repr=False)

    def apply(self, x: Array) -> Array:
        """Return H x, both of shape (batch, ...)."""
        return combined(-x, overlaps(self.right, x), self.left) if self.left else -x

    def transposed(self) -> LowRankInverse:
        """Return Hᵀ."""
        return LowRankInverse(self.memory, self.right, self.left)

    def restarted(self, f: Evaluator | FixedPointProblem, z: Array, samples: np.ndarray) -> LowRankInverse:
        """Return to −I for the given samples, bool (batch,)."""
        if not np.count_nonzero(samples):
            return self
        cleared = tuple(where_samples(samples, zeros_like(u), u) for u in self.left)
        return LowRankInverse(self.memory, cleared, self.right)

    def with_room(self) -> LowRankInverse:
        """Return H without its oldest product where it can hold no more: so the newest secant equation holds."""
        if len(self.left) < self.memory:
            return self
        return LowRankInverse(self.memory, self.left[1:], self.right[1:])

    def updated(self, step: Array, change: Array, image: Array) -> LowRankInverse:
        """Return the good Broyden update of H, which has room; `image` is H·change. All have the shape (batch, ...)."""
        left, right = correction(step - image, self.transposed().apply(step), change)
        return LowRankInverse(self.memory, (*self.left, left), (*self.right, right))

    def apply_updated(self, x: Array, before: Array) -> Array:
        """Return H x, shape (batch, ...), given what it was before the last update."""
        return combined(before, overlaps(self.right[-1:], x), self.left[-1:])


def correction(numerator: Array, v: Array, y: Array) -> tuple[Array, Array]:
    """Return numerator / ⟨v, y⟩ and v, shape (batch, ...); zeros for both where ⟨v, y⟩ is rounding or not finite."""
    xp = array_namespace(v)
    product = dot(v, y)
    # |⟨v, y⟩| against ‖v‖‖y‖: below this the two are orthogonal as far as can be told.
    size = dot(v, v) * dot(y, y)
    rounding = 10 * float(xp.finfo(v.dtype).eps)
    safe = xp.isfinite(size) & (product * product > rounding**2 * size)
    factor = 1 / xp.where(safe, product, xp.ones_like(product))
    kept, zeros = rows_like(safe, v), xp.zeros_like(v)
    return xp.where(kept, rows_like(factor, v) * numerator, zeros), xp.where(kept, v, zeros)
