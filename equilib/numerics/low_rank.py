"""The inverse Jacobian as −I plus one outer product for each step, for each sample."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from equilib.arrays import (
    Array,
    array_namespace,
    coefficients,
    dot,
    max_norm,
    rows_like,
    two_norm,
    where_samples,
    zeros_like,
)
from equilib.arrays.norms import USUAL
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
        return replace(self, left=self.right, right=self.left)

    def restarted(self, f: Evaluator | FixedPointProblem, z: Array, samples: np.ndarray) -> LowRankInverse:
        """Return to −I for the given samples, bool (batch,)."""
        if not np.count_nonzero(samples):
            return self
        cleared = tuple(where_samples(samples, zeros_like(u), u) for u in self.left)
        return replace(self, left=cleared)

    def with_room(self) -> LowRankInverse:
        """Return H without its oldest product where it can hold no more: so the newest secant equation holds."""
        if len(self.left) < self.memory:
            return self
        return replace(self, left=self.left[1:], right=self.right[1:])

    def updated(self, step: Array, change: Array, image: Array, cosine: np.ndarray | None = None) -> LowRankInverse:
        """Return the good Broyden update of H, which has room; `image` is H·change. All have the shape (batch, ...)."""
        right = self.transposed().apply(step)
        if cosine is not None:
            right = _where_orthogonal(right, change, cosine)
        left, right = correction(step - image, right, change)
        return replace(self, left=(*self.left, left), right=(*self.right, right))

    def apply_updated(self, x: Array, before: Array) -> Array:
        """Return H x, shape (batch, ...), given what it was before the last update."""
        return combined(before, overlaps(self.right[-1:], x), self.left[-1:])


def correction(numerator: Array, v: Array, y: Array) -> tuple[Array, Array]:
    """Return numerator / ⟨v, y⟩ and v, shape (batch, ...), or multiples with the same product.

    Zeros for both where ⟨v, y⟩ is rounding or not finite.
    """
    xp, rounding = array_namespace(v), 10 * float(array_namespace(v).finfo(v.dtype).eps)
    product, square = dot(v, y), dot(v, v)
    size = square * dot(y, y)
    # |⟨v, y⟩| against ‖v‖‖y‖: below this the two are orthogonal as far as can be told.
    safe = xp.isfinite(size) & (product * product > rounding**2 * size)
    # Elsewhere than on the host it costs less to scale than to ask whether squares left the range.
    if type(v) is not np.ndarray or not _in_range(size, square, v):
        v = _near_one(v)
        product, size = dot(v, y), two_norm(y)
        safe = xp.isfinite(size) & (xp.abs(product) > rounding * two_norm(v) * size)
    all_safe = type(v) is np.ndarray and np.count_nonzero(safe) == len(safe)
    factor = 1 / (product if all_safe else xp.where(safe, product, xp.ones_like(product)))
    left = xp.astype(rows_like(factor, v) * numerator, v.dtype, copy=False)
    if all_safe:
        return left, v
    kept, zeros = rows_like(safe, v), xp.zeros_like(v)
    return xp.where(kept, left, zeros), xp.where(kept, v, zeros)


def _in_range(size: np.ndarray, square: np.ndarray, v: np.ndarray) -> bool:
    """Tell whether no square left the range of the dtype; samples that are zero have none."""
    if size.dtype not in USUAL:
        return False
    least, largest = USUAL[size.dtype]
    usual = (size < largest) & (size > least)
    return v.dtype == size.dtype and (np.count_nonzero(usual) == len(usual) or not v[~usual].any())


def _near_one(v: Array) -> Array:
    """Return each sample times a power of two, so that its largest element is of the order of 1: rounds nothing."""
    xp = array_namespace(v)
    largest, least = max_norm(v), float(xp.finfo(v.dtype).smallest_normal)
    largest = xp.where((largest >= least) & xp.isfinite(largest), largest, xp.full_like(largest, least))
    factor = 2.0 ** -xp.floor(xp.log2(largest))
    return rows_like(factor, v) * v


def _where_orthogonal(v: Array, y: Array, cosine: np.ndarray) -> Array:
    """Return v, but y for samples where the angle between them has a smaller cosine."""
    xp = array_namespace(v)
    least = coefficients(cosine, v) * two_norm(v) * two_norm(y)
    return xp.where(rows_like(xp.abs(dot(v, y)) < least, v), y, v)
