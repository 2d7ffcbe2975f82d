"""Secant pairs (Δz, Δr) of each sample and their least-squares problem: what Anderson mixing is made of.

In the core because more than one method mixes: a plugin may not import another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from equilib.arrays import Array, coefficients, in_single, rows_like, scaled, to_host_together, where_samples
from equilib.numerics.combinations import combined, overlaps


@dataclass(frozen=True)
class Secants:
    """The last pairs of changes of z and of r = f(z) − z, and the products that the mixing weights depend on.

    The arrays have the shape (batch, ...), the products (batch, pairs, ...).
    """

    images: tuple[Array, ...] = field(repr=False)
    """Δf(z) = Δz + Δr, the oldest first."""
    changes: tuple[Array, ...] = field(repr=False)
    """Δr, the oldest first."""
    gram: np.ndarray
    """⟨Δrᵢ, Δrⱼ⟩."""
    overlap: np.ndarray
    """⟨Δrᵢ, r⟩ with the residual r of the iterate that is mixed from."""
    usable: np.ndarray
    """Pairs that a sample has not discarded: bool."""
    unit: np.ndarray | None = None
    """What products are measured in, shape (batch,), so that they stay in the range of the dtype; None: 1."""

    @classmethod
    def none(cls, batch: int, unit: np.ndarray | None = None) -> Secants:
        """Return the secants before there is a pair; `unit` has the shape (batch,)."""
        return cls((), (), np.zeros((batch, 0, 0)), np.zeros((batch, 0)), np.zeros((batch, 0), dtype=bool), unit)

    def discarded(self, samples: np.ndarray) -> Secants:
        """Forget all pairs of the given samples, bool (batch,)."""
        if not np.count_nonzero(samples):
            return self
        return replace(self, usable=self.usable & ~samples[:, None])

    def weights(self, ridge: float) -> np.ndarray:
        """Return the γ of least ‖r − Σ γᵢ Δrᵢ‖² + ridge Σ γᵢ²‖Δrᵢ‖², shape (batch, pairs).

        The ridge is relative to each ‖Δrᵢ‖, which differ by orders of magnitude when the iteration converges: one
        that is absolute, or relative to the largest, would drown the newest and best pairs.
        """
        gram, overlap, squares = self.gram, self.overlap, np.diagonal(self.gram, axis1=1, axis2=2)
        identity = _identity(squares.shape[1])
        usable = self.usable & np.isfinite(squares) & (squares > 0) & np.isfinite(overlap)
        if np.count_nonzero(usable) < usable.size:
            # Equations of their own for the others, γᵢ = 0.
            gram = np.where(usable[:, :, None] & usable[:, None, :], gram, identity)
            squares, overlap = np.where(usable, squares, 1.0), np.where(usable, overlap, 0.0)
        scale = 1 / np.sqrt(squares)
        matrix = gram * scale[:, :, None] * scale[:, None, :] + ridge * identity
        return np.asarray(scale * np.linalg.solve(matrix, (overlap * scale)[:, :, None])[:, :, 0])

    def mixed(self, z: Array, residual: Array, mixing: np.ndarray | None, weights: np.ndarray) -> Array:
        """Return z + β r − Σ γᵢ (Δzᵢ + β Δrᵢ), shape (batch, ...) (Walker & Ni 2011).

        `mixing` is one β per sample, shape (batch,); None: 1 for all of them.
        """
        kept = None if mixing is None else rows_like(coefficients(1 - mixing, z), z)
        new = z + (residual if kept is None else (1 - kept) * residual)
        used = weights != 0
        images = self.images
        if kept is not None:
            images = tuple([image - kept * change for image, change in zip(images, self.changes, strict=True)])
        if np.count_nonzero(used) == used.size:
            return combined(new, -weights, images)
        gammas = coefficients(-weights, z)
        for i, image in enumerate(images):
            # Selected: a discarded pair may hold nan.
            new = where_samples(used[:, i], new + rows_like(gammas[:, i], z) * image, new)
        return new

    def extended(
        self,
        step: Array,
        residual: Array,
        new_residual: Array,
        *,
        memory: int,
        accept: Callable[[np.ndarray], np.ndarray],
    ) -> tuple[Secants, np.ndarray, np.ndarray]:
        """Add the pair (step, new_residual − residual), keep the `memory` last, and judge the new iterate.

        `accept(norm)` maps the norms of the new residuals to the samples that go on from the new iterate. All
        products cross from the device at once. Returns the secants, whose `overlap` is with the residual that the
        sample goes on from, the Euclidean norms of `new_residual` and the samples accepted, both of shape (batch,).
        """
        first = max(len(self.images) + 1 - memory, 0)
        change = new_residual - residual
        changes = (*self.changes, change)[first:]
        inverse = None if self.unit is None else 1 / self.unit
        *small, old, new = [in_single(scaled(each, inverse)) for each in (*changes, residual, new_residual)]
        by_change, by_new = to_host_together(overlaps((*small, old), small[-1]), overlaps((*small, new), new))
        norm = np.sqrt(by_new[:, -1]) * (1.0 if self.unit is None else self.unit)
        accepted = accept(norm)
        overlap = by_new[:, :-1]
        if np.count_nonzero(accepted) < len(accepted):
            kept = np.concatenate([self.overlap[:, first:], by_change[:, -1:]], axis=1)
            overlap = np.where(accepted[:, None], overlap, kept)
        extended = Secants(
            images=(*self.images, step + change)[first:],
            changes=changes,
            gram=_bordered(self.gram[:, first:, first:], by_change[:, :-1]),
            overlap=overlap,
            usable=np.concatenate([self.usable[:, first:], np.ones((len(norm), 1), dtype=bool)], axis=1),
            unit=self.unit,
        )
        return extended, norm, accepted


def _bordered(gram: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return the Gram matrix with the products of one more vector, shape (batch, size + 1)."""
    size = column.shape[1]
    larger = np.empty((len(column), size, size))
    larger[:, :-1, :-1] = gram
    larger[:, -1, :] = larger[:, :, -1] = column
    return larger


@cache
def _identity(size: int) -> np.ndarray:
    return np.eye(size)
