"""Secant pairs (Δz, Δr) of each sample and their least-squares problem: what Anderson mixing is made of.

In the core because more than one method mixes: a plugin may not import another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from equilib.arrays import (
    Array,
    array_namespace,
    coefficients,
    rows_like,
    samples_as_rows,
    to_host,
    where_samples,
)


@dataclass(frozen=True)
class Secants:
    """The last pairs of changes of z and of r = f(z) − z, and the products that the mixing weights depend on.

    Attributes
    ----------
    steps, changes : tuple of array, shape (batch, ...)
        Δz and Δr, the oldest first.
    gram : ndarray, shape (batch, pairs, pairs)
        ⟨Δrᵢ, Δrⱼ⟩.
    overlap : ndarray, shape (batch, pairs)
        ⟨Δrᵢ, r⟩ with the residual r of the iterate that is mixed from.
    usable : ndarray of bool, shape (batch, pairs)
        Pairs that a sample has not discarded.
    """

    steps: tuple[Array, ...] = field(repr=False)
    changes: tuple[Array, ...] = field(repr=False)
    gram: np.ndarray
    overlap: np.ndarray
    usable: np.ndarray

    @classmethod
    def none(cls, batch: int) -> Secants:
        """Return the secants before there is a pair."""
        return cls((), (), np.zeros((batch, 0, 0)), np.zeros((batch, 0)), np.zeros((batch, 0), dtype=bool))

    def discarded(self, samples: np.ndarray) -> Secants:
        """Forget all pairs of the given samples, bool (batch,)."""
        return replace(self, usable=self.usable & ~samples[:, None])

    def weights(self, ridge: float) -> np.ndarray:
        """Return the γ of least ‖r − Σ γᵢ Δrᵢ‖² + ridge Σ γᵢ²‖Δrᵢ‖², shape (batch, pairs).

        The ridge is relative to each ‖Δrᵢ‖, which differ by orders of magnitude when the iteration converges: one
        that is absolute, or relative to the largest, would drown the newest and best pairs.
        """
        squares = np.diagonal(self.gram, axis1=1, axis2=2)
        usable = self.usable & np.isfinite(squares) & (squares > 0) & np.isfinite(self.overlap)
        scale = np.where(usable, 1 / np.sqrt(np.where(usable, squares, 1.0)), 0.0)
        both = usable[:, :, None] & usable[:, None, :]
        matrix = np.where(both, self.gram, 0.0) * scale[:, :, None] * scale[:, None, :]
        identity = np.eye(squares.shape[1])
        matrix = matrix + ridge * identity + np.where(usable, 0.0, 1.0)[:, :, None] * identity
        rhs = np.where(usable, self.overlap, 0.0) * scale
        return scale * np.linalg.solve(matrix, rhs[:, :, None])[:, :, 0]

    def mixed(self, z: Array, residual: Array, mixing: np.ndarray, weights: np.ndarray) -> Array:
        """Return z + β r − Σ γᵢ (Δzᵢ + β Δrᵢ) (Walker & Ni 2011), with one β per sample."""
        beta = rows_like(coefficients(mixing, z), z)
        new = z + beta * residual
        for i, (step, change) in enumerate(zip(self.steps, self.changes, strict=True)):
            gamma = weights[:, i]
            if gamma.any():
                moved = new - rows_like(coefficients(gamma, z), z) * (step + beta * change)
                # Selected: a discarded pair may hold nan.
                new = where_samples(gamma != 0, moved, new)
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
        products cross from the device at once.

        Returns
        -------
        secants : Secants
            Their `overlap` is with the residual that the sample goes on from.
        norm : ndarray, shape (batch,)
            Euclidean norms of `new_residual`.
        accepted : ndarray of bool, shape (batch,)
        """
        xp = array_namespace(residual)
        first = max(len(self.steps) + 1 - memory, 0)
        change = new_residual - residual
        changes = (*self.changes, change)[first:]
        rows = [samples_as_rows(each) for each in changes]
        last, new, old = (samples_as_rows(each) for each in (change, new_residual, residual))
        products = [xp.vecdot(each, last) for each in rows] + [xp.vecdot(each, new) for each in rows]
        products += [xp.vecdot(new, new), xp.vecdot(old, last)]
        host = to_host(xp.stack(products, axis=1)).astype(np.float64)
        pairs = len(changes)
        norm = np.sqrt(host[:, -2])
        accepted = accept(norm)
        kept = np.concatenate([self.overlap[:, first:], host[:, -1:]], axis=1)[:, -pairs:]
        usable = np.concatenate([self.usable[:, first:], np.ones((len(norm), 1), dtype=bool)], axis=1)[:, -pairs:]
        extended = Secants(
            steps=(*self.steps, step)[first:],
            changes=changes,
            gram=_bordered(self.gram[:, first:, first:], host[:, :pairs]),
            overlap=np.where(accepted[:, None], host[:, pairs : 2 * pairs], kept),
            usable=usable,
        )
        return extended, norm, accepted


def _bordered(gram: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return the Gram matrix with the products of one more vector, shape (batch, size + 1)."""
    above = np.concatenate([gram, column[:, :-1, None]], axis=2)
    return np.concatenate([above, column[:, None, :]], axis=1)
